"""Convert checkpoints of other libraries."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from landscape.cli.app import DataDir, ProblemConfig, app, settings
from landscape.errors import UsageError
from landscape.escaping.terminal import console, one_line


@app.command(name="import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="SRC... DST", help="Files or folders of other libraries; a folder for ours.")
    ],
    problem: Annotated[
        str | None, typer.Option(help="Whose model it is: a built-in one, pkg.mod:factory or file.py:factory.")
    ] = None,
    problem_config: ProblemConfig = None,
    step: Annotated[
        int | None, typer.Option(help="Of a single checkpoint, where neither file nor name says it.")
    ] = None,
    optimizer: Annotated[
        str | None, typer.Option(help="Class of the optimizer, where its state does not tell.")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(help="Of its parameters: model, dimensions, trainer or sorted; where shapes do not tell."),
    ] = None,
    config: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="How it was trained: label, lr, seed, …; repeatable.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Where in a dictionary the model's tensors stand, e.g. ema.")] = None,
    prefix: Annotated[str | None, typer.Option(help="With what the names begin that are meant.")] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="OLD=NEW", help="Parts of names, as the model has them; repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Names without a place in the model; repeatable.")
    ] = None,
    allow: Annotated[
        list[str] | None, typer.Option(metavar="CLASS", help="A class in the file that you know and trust; repeatable.")
    ] = None,
    data: DataDir = None,
) -> None:
    """Convert checkpoints of PyTorch, Lightning, safetensors, Hugging Face and others into a folder to be analyzed."""
    from landscape.checkpoints import import_checkpoint

    if len(paths) < 2:
        raise UsageError("name one or more files or folders, and then the folder for what they are converted into")
    *sources, into = paths
    if into.is_file():
        raise UsageError(f"the last path, {into}, is a file; name a folder for what is converted")
    show, skipped = console().print, 0

    def say(line: str) -> None:
        nonlocal skipped
        skipped += line.startswith("not imported")
        show(one_line(line))

    written = import_checkpoint(
        sources, into, problem=problem, problem_config=settings(problem_config), step=step, optimizer=optimizer,
        order=order, config=_pairs(config, numbers=True), key=key, prefix=prefix, rename=_pairs(rename),
        ignore=ignore or (), allow=allow or (), data_dir=data, say=say,
    )  # fmt: skip
    many = f"{len(written)} checkpoint{'s' * (len(written) != 1)}"
    own = f" --problem {shlex.quote(problem)}" if problem and ":" in problem else ""
    show(f"{many}\nnow: landscape analyze {one_line(shlex.quote(str(into)))}{own}")
    raise typer.Exit(1 if skipped else 0)


def _pairs(pairs: list[str] | None, *, numbers: bool = False) -> dict[str, Any]:
    """``["lr=0.1", "label=sgd"]`` as a dictionary, numbers as such where asked."""
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise UsageError(f"{pair!r}: expected NAME=VALUE")
        try:
            found[name] = json.loads(value) if numbers else value
        except json.JSONDecodeError:
            found[name] = value  # a word
    return found
