"""Measure a folder of checkpoints."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import Annotated

import typer

from landscape.analysis.plan import Plan
from landscape.cli.app import (
    AsJson,
    DataDir,
    Executor,
    Folder,
    Problem,
    ProblemConfig,
    app,
    command_line,
    exit_status,
    print_results,
    settings,
)
from landscape.escaping.terminal import console, one_line

#: Arguments that say nothing of what is measured.
_NO_PLAN = ("ckpt_dir", "as_json", "executor", "shared")


@app.command()
def analyze(
    ckpt_dir: Folder,
    plan: Annotated[
        str, typer.Option(help="quick (to 20 %), standard (4 %) or thorough (1 %); the flags below overrule it.")
    ] = "standard",
    accuracy: Annotated[
        str | None, typer.Option(metavar="SHARE", help="95 % error of every random number, 5% or 0.05.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="5m, 90s, 1h30m: the best accuracy that fits, in rounds, coarse ones first.")
    ] = None,
    last: Annotated[
        str | None, typer.Option(metavar="COUNT", help="Checkpoints of each run, counted from its end; or all.")
    ] = None,
    along: Annotated[
        bool | None,
        typer.Option(help="Checkpoints of the whole training too, 8 of each run (thorough: 20); standard does it."),
    ] = None,
    every: Annotated[
        int | None, typer.Option(help="In place of those every so-many-th checkpoint, from the last back; 1: all.")
    ] = None,
    levels: Annotated[
        int | None, typer.Option(help="Training losses at which groups of runs are compared; 0: at the ends alone.")
    ] = None,
    eigs: Annotated[int | None, typer.Option(help="Eigenpairs from each end of the spectrum.")] = None,
    trace_probes: Annotated[
        int | None, typer.Option(help="So many probes of the trace, whatever accuracy they give.")
    ] = None,
    density_probes: Annotated[int | None, typer.Option(help="So many probes of the spectral density.")] = None,
    steps: Annotated[int | None, typer.Option(help="So many Lanczos steps per density probe.")] = None,
    points: Annotated[int | None, typer.Option(help="Points along a line; odd.")] = None,
    plane_points: Annotated[int | None, typer.Option(help="Points along each side of the plane; odd.")] = None,
    planes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="Planes that are drawn: random,eigen,pca; '' for none.")
    ] = None,
    directions: Annotated[int | None, typer.Option(help="Random filter-normalised directions.")] = None,
    samples: Annotated[int | None, typer.Option(help="So many pairs of displacements for average sharpness.")] = None,
    restarts: Annotated[int | None, typer.Option(help="Starts of the ascent for worst-case sharpness.")] = None,
    subsets: Annotated[int | None, typer.Option(help="Parts of the data to measure λ_max and trace on too.")] = None,
    barriers: Annotated[int | None, typer.Option(help="Pairs of minima to interpolate between, at most.")] = None,
    pairs: Annotated[
        str | None, typer.Option(help="Which: groups, seeds, both, or names: sgd-s0:adam-s0,sgd-*:sgd-*.")
    ] = None,
    tol: Annotated[
        float | None,
        typer.Option(
            help="Relative residual of a converged eigenpair; else a fortieth of the accuracy (the accuracy if λ < 0)."
        ),
    ] = None,
    max_matvecs: Annotated[
        int | None, typer.Option(help="Where Lanczos gives up, and an estimate short of its accuracy.")
    ] = None,
    examples: Annotated[
        int | None, typer.Option(help="Measure on that many, drawn at random; on all if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every probe, direction and choice of examples.")] = None,
    data: DataDir = None,
    problem: Problem = None,
    problem_config: ProblemConfig = None,
    workers: Annotated[int | None, typer.Option(help="Processes that measure runs side by side.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each process; the cores shared out, else.")] = None,
    executor: Executor = None,
    shared: Annotated[
        bool,
        typer.Option(
            "--shared-folder/--no-shared-folder",
            help="Whether the executor's processes see CKPT_DIR; else its files are sent to them.",
        ),
    ] = True,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, …; the CPU if left out.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or float64; the model's own if left out.")] = None,
    params: Annotated[
        str | None, typer.Option(metavar="GLOBS", help="Parameters that make up θ, e.g. 'fc*.weight,head.*'; else all.")
    ] = None,
    mode: Annotated[
        str | None, typer.Option(help="eval, or train: batch statistics over all examples at once.")
    ] = None,
    chunk: Annotated[
        int | None, typer.Option(help="Examples evaluated at a time; by the model's size if left out.")
    ] = None,
    route: Annotated[
        str | None, typer.Option(help="How Hessian products are made, e.g. fresh; the fastest of a trial if left out.")
    ] = None,
    interacting: Annotated[
        bool | None, typer.Option(help="Examples of a batch interact (losses over pairs): batches stay whole.")
    ] = None,
    batch_statistics: Annotated[
        str | None, typer.Option(help="Between minima: interpolate, recompute (from the data, as BatchNorm) or fixed.")
    ] = None,
    check: Annotated[
        bool | None,
        typer.Option(help="Examine the loss before it is measured; --no-check trusts it, and the report says so."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the checkpoints of a folder; write results.h5, report.html, figures/ and tables/ into it."""
    given = {name: value for name, value in locals().items() if name not in _NO_PLAN and value is not None}
    given |= {"problem_config": settings(problem_config)}
    from landscape import distributed
    from landscape.analysis.pipeline import analyze as run_analysis
    from landscape.progress_bar import progress_bar
    from landscape.store import load_results

    chosen, group = Plan(**given), distributed.join()
    speaks = group is None or group.is_first
    try:
        with progress_bar() if speaks else nullcontext() as reporter:
            path = run_analysis(
                ckpt_dir, chosen, reporter=reporter, command=command_line(), executor=executor, shared=shared,
                say=on_stderr if speaks else None,
            )  # fmt: skip
    except KeyboardInterrupt:
        drawn = " and drawn" if chosen.time is not None else ""
        if speaks:
            on_stderr(f"interrupted; what was measured is kept{drawn}, and the same command goes on")
        raise typer.Exit(130) from None
    results = load_results(path)
    if not speaks:
        raise typer.Exit(exit_status(results))
    print_results(results, as_json=as_json)
    if not as_json:
        console().print(f"\nreport   {one_line(path.parent / 'report.html')}\nresults  {one_line(path)}")
    raise typer.Exit(exit_status(results))


def on_stderr(line: str) -> None:
    """Beside the table, which may be read by a program."""
    print(f"landscape: {one_line(line)}", file=sys.stderr)
