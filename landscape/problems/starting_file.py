"""The file that ``landscape init`` writes."""

from __future__ import annotations

import keyword
from importlib import resources

from landscape.errors import UsageError


def starting_file(name: str) -> str:
    """A problem of one's own and its training, as a module of that name.

    Raises
    ------
    UsageError
        If the name is none of a module.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise UsageError(
            f"{name!r} is no name of a Python module; take letters, digits and underscores, such as my_problem"
        )
    text = resources.files("landscape.problems").joinpath("starting_file.txt").read_text("utf-8")
    return text.replace("NAME", name)
