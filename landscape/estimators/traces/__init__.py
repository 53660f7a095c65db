"""Traces, moments, norms and diagonals from random probes and from what is known of the range."""
