"""Something to look at, from nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from landscape.analysis.plan import Plan
from landscape.cli.analyze import analyze, on_stderr
from landscape.cli.app import app
from landscape.escaping.terminal import console, one_line

DEFAULT = Path("checkpoints/demo")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="For the runs and what is measured of them.")] = DEFAULT,
    seeds: Annotated[int, typer.Option(help="Runs of each optimizer.")] = 2,
    plan: Annotated[str, typer.Option(help="Of the analysis: quick, standard or thorough.")] = "quick",
    epochs: Annotated[
        int | None, typer.Option(help="Of each training; 30 if left out. With few it is sooner done, and no minimum.")
    ] = None,
) -> None:
    """Train LeNet-5 on digits by SGD, momentum and Adam, and analyze it: some minutes, no network, no clone.

    The same command goes on where it was stopped.
    """
    from landscape.progress_bar import progress_bar
    from landscape.training import demo as training

    show = console().print
    Plan(plan=plan)  # what is wrong is refused now rather than after the training
    training.demo_runs(seeds)
    said = ", ".join(map(str, range(seeds)))
    show(one_line(f"training LeNet-5 on digits: {', '.join(training.OPTIMIZERS)} × seeds {said} → {folder}"))
    try:
        with progress_bar() as reporter:
            training.train_demo(
                folder, seeds=seeds, epochs=epochs, reporter=reporter,
                finished=lambda name, seconds: show(f"  {name:<12} {seconds:4.0f} s"),
            )  # fmt: skip
    except KeyboardInterrupt:
        on_stderr("interrupted; what was trained is kept, and the same command goes on")
        raise typer.Exit(130) from None
    where = one_line(str(folder))
    show(f"\nnow: landscape analyze {where} --plan {plan}\n")
    try:
        analyze(folder, plan=plan)
    except typer.Exit as done:
        if done.exit_code not in (0, 1):
            raise
        show(
            f"\nlook at it   landscape report {where} --open\n"
            f"for a paper  landscape report {where} --style icml\n"
            f"doubt it     landscape crosscheck {where} --quick\n"
            "your own     landscape init NAME"
        )
        raise
