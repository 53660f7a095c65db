"""The command line, called in this process."""

from __future__ import annotations

import sys

import pytest

from landscape import cli


def call(capsys, monkeypatch, *arguments):
    """Exit status, stdout and stderr of ``landscape ARGUMENTS``."""
    monkeypatch.setattr(sys, "argv", ["landscape", *map(str, arguments)])
    monkeypatch.setenv("COLUMNS", "110")
    with pytest.raises(SystemExit) as exit_info:
        cli.main()
    said = capsys.readouterr()
    return exit_info.value.code or 0, said.out, said.err
