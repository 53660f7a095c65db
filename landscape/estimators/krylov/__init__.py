"""Krylov spaces: one, several in lockstep, their sum; and search spaces of any directions."""
