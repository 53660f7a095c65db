"""What a training in blocks loses of its first block while it learns the others, and what that loss goes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from landscape import plots
from landscape.analysis.objectives import objective_of
from landscape.analysis.plan import Plan
from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.estimators import principal_angles, top_eigenpairs
from landscape.jobs import Executor
from landscape.operators import HessianOperator
from landscape.plots.drawing import Drawing
from landscape.study.design import Study
from landscape.study.per_run import kept_or_measured, measure_runs, rows_of
from landscape.study.quantities import Quantity
from landscape.training.order import BatchOrder, block_rows
from landscape.training.run import make_order

#: Relative residual of the eigenpairs.
TOL = 1e-3
#: What a run is measured by → words. The first is what the others are to explain.
WORDS = {
    "forgotten": "rise of the first task's loss",
    "lambda_max": "λ_max of the first task where it ended",
    "overlap": "overlap of the top eigenspaces of both tasks there",
    "distance": "distance moved after it",
    "quadratic": "rise by the quadratic model there",
}


@dataclass(frozen=True)
class Correlation:
    """Spearman's ρ of what was forgotten with one of the others, over runs.

    Attributes
    ----------
    rho, low, high : float
        With the 95 % interval by Fisher's z and the standard error of Fieller, Hartley & Pearson (1957, Biometrika).
    """

    rho: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.rho:.2f} [{self.low:.2f}, {self.high:.2f}]"


def measure_forgetting(
    study: Study,
    out: Path,
    *,
    workers: int,
    executor: Executor | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Measure every run that is there into ``out/forgetting``; what was measured of the same checkpoints is kept."""
    if study.forgetting is not None:
        measure_runs(
            study, out / "forgetting", f"{__name__}:forgetting_job", "what was forgotten",
            workers=workers, executor=executor, say=say,
        )  # fmt: skip


def forgetting_job(study: str, data: str | None, index: int, run: str, file: str) -> str:
    """A job: one run, between the end of its first block and its own; the file of its numbers."""
    design = Study.from_json(study, data=data)
    assert design.forgetting is not None
    checkpoints = CheckpointDir(run)
    last = checkpoints[-1]
    problem = design.problem_of(design.arms[index])
    order = make_order(problem, last.config)
    if not isinstance(order, BatchOrder) or not order.changes:
        return kept_or_measured(file, {"blocks": 1}, dict)
    first, then = order.block_in(0), block_after(order, order.changes[0])
    assert first is not None
    end = next((one for one in checkpoints if one.step == order.changes[0]), None)
    if end is None:
        raise UsageError(f"{run} has no checkpoint of step {order.changes[0]}, where its first block ends")
    blocks = order.options["blocks"]
    asked = {"eigs": design.forgetting.eigs, "blocks": blocks, "first": first, "then": then,
             "at": [end.params_sha256, last.params_sha256]}  # fmt: skip

    def measure() -> dict[str, float]:
        objective = objective_of(end, Plan(), check=False, problem=problem)
        mine, other = (objective.subset(block_rows(order.num_examples, blocks, b)) for b in (first, then))
        return forgotten(mine, other, end.theta(), last.theta(), design.forgetting.eigs if design.forgetting else 1)

    return kept_or_measured(file, asked, measure)


def block_after(order: BatchOrder, step: int) -> int:
    """The block that begins after that step."""
    epoch = round(order.epochs_after(step))
    found = order.block_in(epoch)
    assert found is not None
    return found


def forgotten(first: Any, other: Any, before: Tensor, after: Tensor, eigs: int) -> dict[str, float]:
    """Of two tasks' objectives, where the first ended and where training ended.

    Costs the eigenpairs of two Hessians, a product, a gradient and two losses.
    """
    H = HessianOperator(first).at(before)
    k = min(eigs, H.shape[0])
    mine, its = (top_eigenpairs(one, k, tol=TOL, strict=False) for one in (H, HessianOperator(other).at(before)))
    moved = (after - before).to(torch.float64)
    loss, gradient = first.loss_and_gradient(before)
    Hv = (H @ moved.to(before.dtype)).to(torch.float64)
    return {
        "forgotten": first.loss(after) - loss,
        "lambda_max": float(mine.values[0]),
        "overlap": float(principal_angles(mine, its).overlap),
        "distance": float(moved.norm()),
        "quadratic": float(gradient.to(torch.float64) @ moved + 0.5 * moved @ Hv),
    }


def read_forgetting(study: Study, out: Path) -> dict[tuple[str, int], dict[str, float]]:
    """(arm, seed) → its numbers, of runs in blocks; empty where the study does not ask."""
    if study.forgetting is None:
        return {}
    found = {
        (arm.label, seed): rows_of(out / "forgetting" / f"{run.name}.json")
        for arm, seed, run in study.runs_in(out / "runs")
    }
    return {key: numbers for key, numbers in found.items() if numbers}


def forgetting_quantities(found: Mapping[tuple[str, int], Mapping[str, float]]) -> list[Quantity]:
    """A quantity for each number; arms that have no blocks are in none."""
    quantities = []
    for key, words in WORDS.items():
        values: dict[str, dict[int, float]] = {}
        for (label, seed), numbers in found.items():
            values.setdefault(label, {})[seed] = numbers[key]
        runs = {label: len(own) for label, own in values.items()}
        if values:
            quantities.append(Quantity(words, values, runs))
    return quantities


def correlations(found: Mapping[tuple[str, int], Mapping[str, float]], *, within: bool) -> dict[str, Correlation]:
    """Of what was forgotten with each other number, over all runs, or within arms.

    Within arms, ranks are taken in each arm and pooled as distances from their arm's mean.
    """
    arms: dict[str, list[Mapping[str, float]]] = {}
    for (label, _), numbers in found.items():
        arms.setdefault(label, []).append(numbers)
    groups = list(arms.values()) if within else [list(found.values())]
    if min(map(len, groups), default=0) < 4:
        return {}
    return {key: _spearman(groups, key) for key in list(WORDS)[1:]}


def _spearman(groups: Sequence[Sequence[Mapping[str, float]]], key: str) -> Correlation:
    parts: list[np.ndarray] = []
    for group in groups:
        ranks = np.stack([rankdata([numbers[name] for numbers in group]) for name in ("forgotten", key)])
        parts.append((ranks - ranks.mean(1, keepdims=True)) / len(group))
    x, y = np.concatenate(parts, axis=1)
    size = float(np.linalg.norm(x) * np.linalg.norm(y))
    rho = float(x @ y) / size if size else float("nan")
    freedom = len(x) - len(groups) + 1
    reach = 1.959964 * np.sqrt(1.06 / max(freedom - 3, 1))
    middle = np.arctanh(np.clip(rho, -0.999999, 0.999999))
    return Correlation(rho, float(np.tanh(middle - reach)), float(np.tanh(middle + reach)))


def forgetting_sentences(found: Mapping[tuple[str, int], Mapping[str, float]]) -> list[str]:
    """With what forgetting goes, over all runs and within arms."""
    said = []
    for within in (False, True):
        if rhos := correlations(found, within=within):
            listed = "; ".join(f"{WORDS[key]} {rho}" for key, rho in rhos.items())
            over = "within arms" if within else f"over all {len(found)} runs"
            said.append(f"Of forgetting, Spearman's ρ {over}, with its 95 % interval: {listed}.")
    return said


def draw_forgetting(study: Study, found: Mapping[tuple[str, int], Mapping[str, float]]) -> Drawing | None:
    """What was forgotten against each other number, a dot for each run."""
    if not found:
        return None
    labels = [arm.label for arm in study.arms if any(label == arm.label for label, _ in found)]
    rows = {label: [numbers for (own, _), numbers in found.items() if own == label] for label in labels}
    return Drawing(
        "forgetting",
        "What forgetting goes with",
        "The rise of the first task's training loss, from where that task ended to the end of training, against its "
        "curvature there, the overlap of the tasks' top eigenspaces, the way since, and what the quadratic model makes "
        "of that way; a mark for each run. Dotted: where the model would be right.",
        plots.relation_panels(rows, WORDS, same="quadratic"),
    )
