"""Draw the loss on a plane."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from landscape.cli.app import DataDir, Executor, Problem, ProblemConfig, app, settings
from landscape.errors import UsageError
from landscape.escaping.terminal import console, one_line


@app.command()
def draw(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs (step_*.h5), or folders of runs.", show_default=False)
    ],
    plane: Annotated[
        str,
        typer.Option(
            help="random: two filter-normalised directions; eigen: the two top eigenvectors; pca: principal components "
            "of all checkpoints, with the paths; models: through three runs, or three --step of one."
        ),
    ] = "random",
    on: Annotated[str, typer.Option(help="train, test, or both side by side.")] = "train",
    metric: Annotated[
        str, typer.Option(help="loss, accuracy, gradient_norm, or pkg.mod:FUNCTION of outputs and targets.")
    ] = "loss",
    radius: Annotated[
        str,
        typer.Option(
            metavar="auto|R", help="auto: until the loss has risen tenfold; or a number, in lengths of the directions."
        ),
    ] = "auto",
    points: Annotated[int | None, typer.Option(help="Along each side; odd. 51 if left out.")] = None,
    tol: Annotated[
        str, typer.Option(metavar="SHARE", help="Error between evaluations, of the range of the loss: 1% or 0.01.")
    ] = "1%",
    last: Annotated[
        int | None, typer.Option(help="Checkpoints from the end of each run; 1 if left out, all for pca.")
    ] = None,
    step: Annotated[list[int] | None, typer.Option(help="These checkpoints instead; repeatable.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For figures and results.h5; 'drawings' beside the runs, else.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes among which the points of a picture are divided; this one, else.")
    ] = None,
    executor: Executor = None,
    seed: Annotated[int, typer.Option(help="Of random directions, and of Lanczos' start.")] = 0,
    data: DataDir = None,
    problem: Problem = None,
    problem_config: ProblemConfig = None,
) -> None:
    """Draw the loss of one or several runs on a plane: PDF, PNG, and results.h5 from which a second call goes on."""
    from landscape.pictures import draw as draw_runs
    from landscape.progress_bar import progress_bar

    try:
        with progress_bar() as reporter:

            def progress(title: str, done: int, most: int) -> None:
                reporter.update(done=done, total=most, doing=title)

            drawn = draw_runs(
                runs, plane=plane, on=on, metric=metric, radius=_number(radius), points=points, tol=tol, last=last,
                steps=step or (), out=out, seed=seed, problem=problem, problem_config=settings(problem_config),
                data=data, workers=workers, executor=executor, progress=progress,
            )  # fmt: skip
    except KeyboardInterrupt:
        print("landscape: interrupted; what was evaluated is kept, and the same command goes on there", file=sys.stderr)
        raise typer.Exit(130) from None
    show = console().print
    for picture in drawn:
        show(one_line(picture.title), style="bold")
        show(f"  {one_line(picture.sentence)}\n  {one_line(picture.pdf)}\n  {one_line(picture.png)}")
    show(f"results  {one_line(drawn[0].results)}")


def _number(radius: str) -> float | str:
    if radius == "auto":
        return radius
    try:
        return float(radius)
    except ValueError:
        raise UsageError(f"--radius {radius!r} is neither 'auto' nor a number") from None
