"""Models and data of other libraries as objectives: what they return, what of it counts, and how it is weighed."""
