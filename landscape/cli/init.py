"""A file to begin with."""

from pathlib import Path
from typing import Annotated

import typer

from landscape.cli.app import app
from landscape.errors import UsageError
from landscape.escaping.terminal import console, one_line


@app.command()
def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the file NAME.py, in the current folder.")],
) -> None:
    """Write a commented file to begin with: a problem of your own and its training, which run as they are."""
    from landscape.problems.starting_file import starting_file

    plain = name.removesuffix(".py")
    file = Path(f"{plain}.py")
    text = starting_file(plain)
    if file.exists():
        raise UsageError(f"{file} is there already; nothing was written. Choose another name, or move it away")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}") from None
    show = console().print
    show(f"{one_line(file)} is written: model, loss and data stand in its first function, to be changed")
    show(f"now: python {one_line(file)}")
    show(f"then: landscape analyze checkpoints/{one_line(plain)} --problem {one_line(plain)}:problem")
