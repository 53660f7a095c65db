"""Choose checkpoints at which runs can be compared."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from landscape.cli.app import DataDir, Folder, Problem, ProblemConfig, app, settings
from landscape.escaping.terminal import console, one_line


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
    data: DataDir = None,
    problem: Problem = None,
    problem_config: ProblemConfig = None,
) -> None:
    """Choose of each run the two checkpoints around one training loss, so that runs can be compared there."""
    from landscape.checkpoints import match_losses
    from landscape.comparison import EQUAL

    found = match_losses(
        ckpt_dir, out, level=level, levels=levels, problem=problem, data_dir=data, losses=losses,
        problem_config=settings(problem_config),
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
