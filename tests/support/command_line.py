"""The command line, called in this process."""

from __future__ import annotations

import sys
from collections.abc import Mapping

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


def typed(settings: Mapping[str, object]) -> list[str]:
    """Fields of a plan as the options that are typed for them; those that are None are left out."""
    options: list[str] = []
    for name, value in settings.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{option}" if value else f"--no-{option}")
        elif value is not None:
            options += [f"--{option}", str(value)]
    return options
