"""Names and words that come from outside, made safe for where they go: one file for each medium."""
