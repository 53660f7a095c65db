"""Look at what was measured: its table, its report, its groups beside each other. No torch."""

from __future__ import annotations

import json
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from landscape.cli.app import AsJson, Folder, app, exit_status, print_json, print_results
from landscape.escaping.terminal import console, one_line

if TYPE_CHECKING:
    from landscape.store import Results


@app.command()
def show(ckpt_dir: Folder, as_json: AsJson = False) -> None:
    """Print the table of an analysed folder again."""
    from landscape.store import load_results

    results = load_results(ckpt_dir)
    print_results(results, as_json=as_json)
    raise typer.Exit(exit_status(results))


@app.command()
def report(
    ckpt_dir: Folder,
    opened: Annotated[bool, typer.Option("--open", help="Show it in the browser.")] = False,
    style: Annotated[
        str | None,
        typer.Option(help="Figures for a paper: neurips, icml, iclr, ieee or thesis; ours if left out."),
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="LaTeX sets the text of the PDF figures.")] = False,
) -> None:
    """Draw the figures, tables and report again from results.h5, with captions, references, and a script to change."""
    from landscape.report import write_report
    from landscape.store import load_results

    page = write_report(load_results(ckpt_dir), style=style, latex=latex)
    console().print(f"report   {one_line(page)}")
    if opened and not webbrowser.open(page.resolve().as_uri()):
        console().print("no browser could be started here; open that file in one, or copy it: it needs nothing else")


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
        print_json(json.loads(frame.to_json(orient="records")))
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
