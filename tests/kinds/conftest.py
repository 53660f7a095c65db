"""The files here are those of users, and need libraries of their own; tests/project runs them."""

collect_ignore_glob = ["*.py"]
