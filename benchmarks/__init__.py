"""landscape beside its peers: the same work, the same answer, in one run."""
