"""Curvature by blocks of parameters along every training of a study, where it asks for that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from landscape import plots
from landscape.analysis.objectives import objective_of
from landscape.analysis.plan import Plan
from landscape.analysis.spread import targets
from landscape.checkpoints import Checkpoint, CheckpointDir
from landscape.estimators import block_table
from landscape.jobs import Executor
from landscape.operators import HessianOperator
from landscape.operators.parametric import ParametricOperator
from landscape.plots.drawing import Drawing
from landscape.study.design import Study
from landscape.study.extras import Blocks
from landscape.study.numbers import over_seeds
from landscape.study.per_run import kept_or_measured, measure_runs, rows_of

COLUMNS = (
    "step", "epoch", "block", "parameters", "trace", "trace_sem", "share", "lambda_max", "residual", "converged",
)  # fmt: skip
#: Relative residual of the eigenvalue of a block.
TOL = 0.05


def measure_blocks(
    study: Study,
    out: Path,
    *,
    workers: int,
    executor: Executor | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Measure every run that is there into ``out/blocks``; what was measured of the same checkpoints is kept."""
    if study.blocks is None:
        return
    measure_runs(
        study, out / "blocks", f"{__name__}:blocks_job", "curvature by blocks",
        workers=workers, executor=executor, say=say,
    )  # fmt: skip


def blocks_job(study: str, data: str | None, index: int, run: str, file: str) -> str:
    """A job: the blocks of one run, at checkpoints along it; the file of its rows."""
    design = Study.from_json(study, data=data)
    assert design.blocks is not None
    chosen = _looked_at(CheckpointDir(run), design.blocks.looks)
    plan = _plan(design)
    fields = {key: getattr(plan, key) for key in ("examples", "seed", "dtype", "params", "mode")}
    asked = {
        "blocks": asdict(design.blocks), "plan": fields, "at": {str(c.step): c.params_sha256 for c in chosen},
    }  # fmt: skip
    return kept_or_measured(file, asked, lambda: _along(design, index, chosen, plan))


def _along(design: Study, index: int, chosen: list[Checkpoint], plan: Plan) -> list[tuple[Any, ...]]:
    """Of each checkpoint the rows of its blocks."""
    assert design.blocks is not None
    problem = design.problem_of(design.arms[index])
    moving = any(True for _ in problem.make_model(0).buffers())
    rows: list[tuple[Any, ...]] = []
    H: HessianOperator | None = None
    for checkpoint in chosen:
        if H is None or moving:  # with running statistics each checkpoint has a loss of its own
            objective = objective_of(checkpoint, plan, check=False, problem=problem)
            H = HessianOperator(objective, expected_matvecs=design.blocks.probes * len(chosen))
        rows += _rows(design.blocks, H.at(checkpoint.theta()), checkpoint)
    return rows


def _looked_at(run: CheckpointDir, looks: int) -> list[Checkpoint]:
    """So many, first and last among them, closer at the beginning."""
    steps = np.array(run.steps)
    found = {int(np.abs(steps - target).argmin()) for target in targets(run.steps, every=None, most=looks)}
    return [run[index] for index in sorted(found)]


def _plan(study: Study) -> Plan:
    """That of the study, with as many examples as its blocks have."""
    assert study.blocks is not None
    plan = Plan(**study.plan)
    return plan if study.blocks.examples is None else replace(plan, examples=study.blocks.examples)


def _rows(blocks: Blocks, H: ParametricOperator, checkpoint: Checkpoint) -> list[tuple[Any, ...]]:
    table = block_table(
        H, groups=blocks.groups, num_probes=blocks.probes, method="probes", lambda_max=blocks.lambda_max, tol=TOL,
        strict=False,
    )  # fmt: skip
    columns = (
        table.names, table.sizes, table.trace, table.trace_sem, table.share, table.lambda_max, table.residual,
        table.converged,
    )  # fmt: skip
    epoch = float(checkpoint.metrics.get("epoch", np.nan))
    return [(checkpoint.step, epoch, *map(_plain, row)) for row in zip(*columns, strict=True)]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def read_blocks(study: Study, out: Path) -> pd.DataFrame | None:
    """A row for each block, checkpoint, seed and arm; None where the study does not ask, or nothing is there."""
    if study.blocks is None:
        return None
    parts = []
    for arm, seed, run in study.runs_in(out / "runs"):
        if (measured := rows_of(out / "blocks" / f"{run.name}.json")) is not None:
            rows = pd.DataFrame(measured, columns=list(COLUMNS))
            parts.append(rows.assign(arm=arm.label, seed=seed))
    if not parts:
        return None
    found = pd.concat(parts, ignore_index=True)
    if isinstance(study.blocks.groups, str):
        return found
    rank = {name: i for i, name in enumerate(study.blocks.groups)}  # JSON has them in alphabetical order
    place = ["arm", "seed", "step"]
    order = found.assign(rank=found["block"].map(rank), run=found.groupby(place, sort=False).ngroup())
    return found.loc[order.sort_values(["run", "rank"]).index].reset_index(drop=True)


def blocks_sentences(study: Study, found: pd.DataFrame | None) -> list[str]:
    """Which block has most of the trace at the end, arm by arm, and which the largest eigenvalue."""
    if found is None or study.blocks is None:
        return []
    last = found[found["step"] == found.groupby(["arm", "seed"])["step"].transform("max")]
    said = [
        "Of the Hessian's blocks, where training stopped, the largest share of the trace has: "
        f"{_largest(last.assign(value=100 * last['share']), ' %')}."
    ]
    if study.blocks.lambda_max:
        said.append(f"The largest λ_max of a block there: {_largest(last.assign(value=last['lambda_max']), '')}.")
    return said


def _largest(last: pd.DataFrame, unit: str) -> str:
    found = []
    for label, group in last.groupby("arm", sort=False):
        name = group.groupby("block", sort=False)["value"].mean().idxmax()
        found.append(f"{label} {name} ({over_seeds(group.loc[group['block'] == name, 'value'].to_list())}{unit})")
    return ", ".join(found)


def draw_blocks(study: Study, found: pd.DataFrame | None) -> Drawing | None:
    """A panel for each block; None where the study asks for none."""
    if found is None or study.blocks is None:
        return None
    key, what = ("lambda_max", "λ_max") if study.blocks.lambda_max else ("trace", "trace")
    count = _plan(study).examples
    on = "" if count is None else f" on {count} training examples"
    how = f"eigenvalues within {100 * TOL:g} %" if study.blocks.lambda_max else f"{study.blocks.probes} probes"
    return Drawing(
        "blocks",
        "Curvature by blocks",
        f"The {what} of each diagonal block of the Hessian along the training{on} ({how}): median over seeds, band "
        "from the lowest to the highest.",
        plots.block_panels(found.assign(value=found[key]), arms=[arm.label for arm in study.arms], label=what),
    )
