"""``python -m landscape`` is the command ``landscape``."""

from landscape.cli import main

main()
