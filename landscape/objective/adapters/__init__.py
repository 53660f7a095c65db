"""Models and data of other libraries as objectives, a file for each library, none of which loads it."""
