"""Do other tools measure the same?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from landscape.cli.app import AsJson, DataDir, Problem, ProblemConfig, app, print_json, settings
from landscape.escaping.control_characters import visible
from landscape.escaping.terminal import console, one_line

if TYPE_CHECKING:
    from landscape.witness.stored import Checked

_QUICK = {"num_probes": 8, "density_probes": 2, "num_steps": 10}


@app.command()
def crosscheck(
    ckpt: Annotated[
        Path, typer.Argument(metavar="CKPT", help="A checkpoint, a run, or a folder of runs (then the first's last).")
    ],
    data: DataDir = None,
    problem: Problem = None,
    problem_config: ProblemConfig = None,
    quick: Annotated[bool, typer.Option("--quick", help="Fewer probes and steps.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold our numbers against other tools, differences and the dense Hessian; exit status 1 if one has no cause."""
    from landscape.progress_bar import progress_bar
    from landscape.witness.stored import crosscheck_on_disk

    with progress_bar() as reporter:

        def progress(heard: int, witnesses: int) -> None:
            if reporter is not None:
                reporter.update(done=heard, total=witnesses, doing="asking witnesses")

        checked = crosscheck_on_disk(
            ckpt, problem=problem, problem_config=settings(problem_config), data=data, progress=progress,
            **(_QUICK if quick else {}),
        )  # fmt: skip
    if checked.results is not None:
        from landscape.report import write_report
        from landscape.store import load_results

        write_report(load_results(checked.results, vectors=False))
    if as_json:
        print_json(_rows(checked))
    else:
        _print(checked)
    raise typer.Exit(0 if checked.table.stands else 1)


def _print(checked: Checked) -> None:
    show, table = console().print, checked.table
    of = f", the first of {checked.among} runs" if checked.among > 1 else ""
    size = f"{table.num_parameters:,} parameters, {table.num_examples:,} examples"
    show(one_line(f"{checked.run}{of}, step {checked.checkpoint.step}: {size}\n"), style="bold")
    for line in str(table).split("\n"):
        show(visible(line))
    show(one_line(f"asked: {', '.join(table.versions)}"))
    if checked.results is not None:
        show(one_line(f"stored in {checked.results}, and in the report beside it"))
    elif checked.remark:
        show(one_line(checked.remark))


def _rows(checked: Checked) -> list[dict[str, Any]]:
    """The rows; what is not a number is null."""
    about = {"run": checked.run, "step": checked.checkpoint.step}
    return [{**about, **{name: _json(value) for name, value in row._asdict().items()}} for row in checked.table.rows]


def _json(value: Any) -> Any:
    return None if isinstance(value, float) and not abs(value) < float("inf") else value
