"""Say what is in a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from landscape.cli.app import app
from landscape.escaping.control_characters import visible
from landscape.escaping.terminal import console, one_line


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint or results file, or one of another library.")],
    allow: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="A class in such a file that you know and trust.")
    ] = None,
) -> None:
    """Say what is in a checkpoint, results or surface file, and whether its hashes hold: exit status 1 where not."""
    from landscape.exchange import describe_original
    from landscape.files import Damaged
    from landscape.store import describe_results, is_results_file

    holds = True
    try:
        if is_results_file(file):
            sections = describe_results(file)
        elif (original := describe_original(file)) is not None:
            sections = [("loss-landscape code", original)]
        else:
            from landscape.checkpoints import describe_checkpoint, describe_foreign, hashes_hold, is_foreign

            if is_foreign(file):
                sections = [("checkpoint of another library", describe_foreign(file, allow=allow or ()))]
            else:
                sections = [("checkpoint", describe_checkpoint(file))]
                holds = hashes_hold(sections[0][1])
    except Damaged as error:  # too much of it to be described
        print(f"landscape: {one_line(error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    show = console().print
    width = max(len(visible(label)) for _, pairs in sections for label, _ in pairs)
    for title, pairs in sections:
        show(one_line(title), style="bold")
        for label, text in pairs:
            show(f"  {visible(label):<{width}}  {one_line(text)}")
    if not holds:
        raise typer.Exit(1)
