"""How the eigenvalues are distributed; and eigenpairs, trace and density from one set of runs."""
