"""The command line: parse, call, print. Exit status 0, 1 (measured, but not all of it) or 2 (could not start)."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import shlex
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from landscape.analysis.plan import Plan
from landscape.errors import LandscapeError, in_one_line
from landscape.escaping.control_characters import visible
from landscape.escaping.terminal import accept_all_characters, console, json_text, one_line

if TYPE_CHECKING:
    from landscape.store import Results

#: With this variable set in the environment, an error prints its traceback too.
TRACEBACK = "LANDSCAPE_TRACEBACK"

app = typer.Typer(
    name="landscape",
    help="What kind of minimum did my optimizer find? Curvature and loss landscapes of checkpoints.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Folder = Annotated[Path, typer.Argument(metavar="CKPT_DIR", help="One run (step_*.h5) or a folder of runs.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print rows as JSON; missing values are null.")]


@app.command()
def analyze(
    ckpt_dir: Folder,
    plan: Annotated[str, typer.Option(help="quick, standard or thorough; the flags below overrule it.")] = "standard",
    last: Annotated[int | None, typer.Option(help="Checkpoints of each run, counted from its end.")] = None,
    levels: Annotated[
        int | None, typer.Option(help="Training losses at which groups of runs are compared; 0: at the ends alone.")
    ] = None,
    eigs: Annotated[int | None, typer.Option(help="Eigenpairs from each end of the spectrum.")] = None,
    trace_probes: Annotated[int | None, typer.Option(help="Probes of the trace.")] = None,
    density_probes: Annotated[int | None, typer.Option(help="Probes of the spectral density.")] = None,
    steps: Annotated[int | None, typer.Option(help="Lanczos steps per density probe.")] = None,
    points: Annotated[int | None, typer.Option(help="Points along a line; odd.")] = None,
    plane_points: Annotated[int | None, typer.Option(help="Points along each side of the plane; odd.")] = None,
    directions: Annotated[int | None, typer.Option(help="Random filter-normalised directions.")] = None,
    samples: Annotated[int | None, typer.Option(help="Pairs of displacements for average sharpness.")] = None,
    restarts: Annotated[int | None, typer.Option(help="Starts of the ascent for worst-case sharpness.")] = None,
    subsets: Annotated[int | None, typer.Option(help="Parts of the data to measure λ_max and trace on too.")] = None,
    barriers: Annotated[int | None, typer.Option(help="Pairs of minima to interpolate between, at most.")] = None,
    tol: Annotated[float | None, typer.Option(help="Relative residual of a converged eigenpair.")] = None,
    max_matvecs: Annotated[int | None, typer.Option(help="Where Lanczos gives up.")] = None,
    examples: Annotated[
        int | None, typer.Option(help="Measure on that many, drawn at random; on all if left out.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of every probe, direction and choice of examples.")] = None,
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of the problem's data files.")] = None,
    problem: Annotated[str | None, typer.Option(help="pkg.mod:factory, where a checkpoint names no known one.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that measure runs side by side.")] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of each process; the cores shared out, else.")] = None,
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
    given = {
        name: value for name, value in locals().items() if name not in ("ckpt_dir", "as_json") and value is not None
    }
    from landscape.analysis.pipeline import analyze as run_analysis
    from landscape.progress_bar import progress_bar
    from landscape.store import load_results

    chosen = Plan(**given)
    try:
        with progress_bar() as reporter:
            path = run_analysis(ckpt_dir, chosen, reporter=reporter, command=_command_line())
    except KeyboardInterrupt:
        print("landscape: interrupted; what was measured is kept, and the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None
    results = load_results(path)
    _print_results(results, as_json=as_json)
    if not as_json:
        console().print(f"\nreport   {one_line(path.parent / 'report.html')}\nresults  {one_line(path)}")
    raise typer.Exit(exit_status(results))


@app.command()
def show(ckpt_dir: Folder, as_json: AsJson = False) -> None:
    """Print the table of an analysed folder again."""
    from landscape.store import load_results

    results = load_results(ckpt_dir)
    _print_results(results, as_json=as_json)
    raise typer.Exit(exit_status(results))


@app.command()
def report(ckpt_dir: Folder) -> None:
    """Draw the figures, tables and report again from results.h5."""
    from landscape.report import write_report
    from landscape.store import load_results

    console().print(f"report   {one_line(write_report(load_results(ckpt_dir)))}")


@app.command()
def compare(
    ckpt_dir: Folder,
    by: Annotated[str, typer.Option(help="label (optimizer where there is none), or a key of the config.")] = "label",
    within: Annotated[
        str | None, typer.Option(help="A key of the config: only groups that agree in it are compared.")
    ] = None,
    spread: Annotated[
        bool, typer.Option(help="Standard deviations over seeds too, and whether groups differ.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Means over seeds with 95 % intervals, differences between groups, and flatness against the test loss."""
    from landscape import comparison
    from landscape.store import load_results

    results = load_results(ckpt_dir, vectors=False)
    frame = comparison.compare(results, by=by)
    if as_json:
        _print_json(json.loads(frame.to_json(orient="records")))
        return
    out = console(soft_wrap=False)
    if frame["group"].nunique() > 1:
        _print_at_equal_loss(results, by, within)
    out.print(comparison.comparison_table(frame))
    if frame["group"].nunique() > 1:
        out.print(comparison.contrast_table(comparison.contrasts(results, by=by, within=within)))
    if spread:
        out.print(comparison.spread_table(comparison.spreads(results, by=by)))
    ranks = comparison.ranks(results, by=by)
    if ranks[["tau_between", "tau_within"]].notna().any(axis=None):
        out.print(comparison.rank_table(ranks))


def _print_at_equal_loss(results: Results, by: str, within: str | None) -> None:
    """What counts comes first; or why it cannot be had, and how."""
    from landscape import comparison

    found, out = comparison.at_equal_loss(results, by=by, within=within), console(soft_wrap=False)
    if found.levels:
        out.print(comparison.equal_loss_table(found))
        out.print(comparison.contrast_table(found.contrasts))
        out.print("\nAt the last checkpoints, whatever their losses:", style="bold")
    else:
        out.print(one_line(f"Not compared at equal training loss: {found.reason}."))


@app.command()
def match(
    ckpt_dir: Folder,
    out: Annotated[Path, typer.Argument(help="A new folder beside it, to be analyzed and compared.")],
    level: Annotated[
        float | None, typer.Option(help="Training loss; left out, the lowest that four fifths of the runs reach.")
    ] = None,
    levels: Annotated[int, typer.Option(help="So many losses, from that one upwards: λ against loss.")] = 1,
    losses: Annotated[
        str,
        typer.Option(help="checked: measure those that decide, all where one is wrong; measured: all; saved: none."),
    ] = "checked",
    data: Annotated[str | None, typer.Option(metavar="DIR", help="Folder of the problem's data files.")] = None,
    problem: Annotated[str | None, typer.Option(help="pkg.mod:factory, where a checkpoint names no known one.")] = None,
) -> None:
    """Choose of each run the two checkpoints around one training loss, so that runs can be compared there."""
    from landscape.checkpoints import match_losses
    from landscape.comparison import EQUAL

    found = match_losses(
        ckpt_dir, out, level=level, levels=levels, problem=problem, data_dir=data, losses=losses
    )  # fmt: skip
    show = console().print
    for run, step in found.steps.items():
        at, mark = found.brackets[run][0], " (as saved)" if run in found.saved else ""
        wide = f", far apart: a factor of {found.wide[run]:.2g}" if run in found.wide else ""
        show(
            f"{one_line(run):<24} step {at['step_above']:<7} training loss {at['loss_above']:.4g}, "
            f"step {step:<7} training loss {found.losses[run]:.4g}{mark}{wide}"
        )
    for run, why in found.left_out.items():
        show(f"{one_line(run):<24} left out: {one_line(why)}")
    for run, why in found.wrong.items():
        show(f"{one_line(run):<24} its saved losses are wrong ({one_line(why)}); all of its checkpoints were measured")
    for why in sorted(set(found.saved.values())):
        show(f"losses as training saved them, not measured: {one_line(why)}")
    if found.spread > EQUAL:
        show(
            f"the lower ones differ by a factor of {found.spread:.3g} in loss, so by themselves they rank nothing: "
            "with the upper ones, compare reads every run at the level"
        )
    place = one_line(shlex.quote(str(out)))
    show(f"{found}\nnow: landscape analyze {place}")
    show(f"then: landscape compare {place}")


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="A checkpoint or results file.")]) -> None:
    """Say what is in a checkpoint or results file, and whether its hashes hold: exit status 1 where they do not."""
    from landscape.files import Damaged
    from landscape.store import describe_results, is_results_file

    holds = True
    try:
        if is_results_file(file):
            sections = describe_results(file)
        else:
            from landscape.checkpoints import describe_checkpoint, hashes_hold

            sections = [("checkpoint", describe_checkpoint(file))]
            holds = hashes_hold(sections[0][1])
    except Damaged as error:  # too much of it to be described
        print(f"landscape: {one_line(error)}", file=sys.stderr)
        raise typer.Exit(1) from None
    show = console().print
    width = max(len(one_line(label)) for _, pairs in sections for label, _ in pairs)
    for title, pairs in sections:
        show(one_line(title), style="bold")
        for label, text in pairs:
            show(f"  {visible(label):<{width}}  {one_line(text)}")
    if not holds:
        raise typer.Exit(1)


@app.command()
def selfcheck() -> None:
    """Hold this installation against closed forms, in under a minute."""
    from rich.table import Table

    from landscape.selfcheck import run_checks

    table = Table("fact", "measured", "limit", "", box=None, pad_edge=False)
    failed = 0
    for check in run_checks():
        failed += not check.holds
        table.add_row(check.fact, f"{check.measured:.2g}", f"{check.limit:.2g}", "holds" if check.holds else "FAILS")
    console(soft_wrap=False).print(table)
    console().print("all hold" if not failed else f"{failed} failed: do not trust numbers of this installation")
    raise typer.Exit(1 if failed else 0)


def exit_status(results: Results) -> int:
    """1 if a file was skipped or something did not converge, else 0."""
    unsettled = any(checkpoint.not_converged for run in results.runs for checkpoint in run.checkpoints)
    return 1 if results.info.get("skipped") or unsettled else 0


def main() -> None:
    """Entry point: whatever goes wrong is one line on stderr and exit status 2."""
    accept_all_characters()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        faulthandler.enable(all_threads=False)  # a library that crashes in this process leaves a trace
    try:
        app(standalone_mode=True)
    except LandscapeError as error:
        _end(str(error), error)
    except OSError as error:  # a name too long, a disk that fails: nothing that a report would mend
        _end(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", error)
    except Exception as error:
        _end(f"{in_one_line(error)}. This should not happen: {TRACEBACK}=1 shows how it did, for a report", error)


def _end(message: str, error: Exception) -> NoReturn:
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    print(f"landscape: {one_line(message)}", file=sys.stderr)
    raise SystemExit(2) from None


def _print_results(results: Results, *, as_json: bool) -> None:
    from landscape import tables

    if as_json:
        _print_json(tables.rows(results))
    else:
        console(soft_wrap=False).print(tables.text_table(results))


def _print_json(rows: Any) -> None:
    print(json_text(rows))


def _command_line() -> str:
    return shlex.join(["landscape", *sys.argv[1:]])


if __name__ == "__main__":
    main()
