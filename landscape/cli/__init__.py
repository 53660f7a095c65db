"""The command line. Each command is a file; importing it adds it, in the order of ``landscape --help``."""

from landscape.cli import analyze, view, draw, match, inspect, importing, init, demo, crosscheck, selfcheck  # noqa: I001, F401  in this order
from landscape.cli.app import app, exit_status, main

__all__ = ["app", "exit_status", "main"]
