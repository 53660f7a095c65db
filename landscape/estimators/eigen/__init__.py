"""Eigenpairs at the ends of the spectrum: iterations, when they are believed, and what they may have missed."""
