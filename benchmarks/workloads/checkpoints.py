"""The two largest eigenvalues, and so the gap, of consecutive checkpoints, from models and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import eigsh

from benchmarks import ours, peers
from benchmarks.cases import Case
from benchmarks.harness import Answer, Contender, Goal, Run, Workload
from benchmarks.reference import Reference, flat, relative_residuals, remembered

RESIDUAL = 1e-3
#: Relative error allowed to the reference values.
TRUTH = 1e-4


def workloads(size: str) -> list[Workload]:
    """Twenty states of LeNet-5, five training steps apart; two of a tiny network in the tests."""
    others = [
        Contender("ours, cold starts", ours.two_largest_along(warm=False), role="ours"),
        Contender("ours, cold starts, each anew", ours.two_largest_along(warm=False, anew=True), role="ours"),
        Contender("PyHessian, looped", _looped(_pyhessian), "pyhessian"),
        Contender("curvlinops + ARPACK, looped", _looped(_arpack), "curvlinops"),
    ]
    return [
        Workload(
            name="checkpoints",
            title="λ_max and gap of consecutive checkpoints; from scratch",
            case="spectrum" if size == "tiny" else "lenet",
            ours=Contender("ours, warm starts", ours.two_largest_along(warm=True), role="ours"),
            others=tuple(others),
            judge=worst_residual,
            error_name="worst relative residual",
            tolerance=1.05 * RESIDUAL,
            goals=(
                Goal("≥ 15 × PyHessian looped", "PyHessian, looped", 15, same_answer=False),
                Goal("≥ 3 × our own cold starts", "ours, cold starts", 3),
            ),
            truth=_truths,
        )
    ]


def worst_residual(case: Case, answer: Answer) -> float:
    """max ‖Hu − λu‖/|λ| over the checkpoints and both pairs, infinite where one is not of the largest two."""
    truths = _truths(case)
    worst = 0.0
    for state, truth, (values, vectors) in zip(case.snapshots, truths, answer.value, strict=True):
        order = np.argsort(-np.asarray(values))
        values, vectors = np.asarray(values, dtype=float)[order], np.asarray(vectors)[:, order]
        residuals = relative_residuals(case, values, vectors, state=state, dtype=torch.float32)
        if (np.abs(values - truth) > (2 * residuals + TRUTH) * np.abs(truth)).any():
            return float("inf")
        worst = max(worst, float(residuals.max()))
    return worst


def _truths(case: Case) -> np.ndarray:
    return remembered(case, "largest-along", lambda: _largest_along(case))


def _largest_along(case: Case) -> np.ndarray:
    """The two largest eigenvalues of every snapshot (S, 2), descending, from float32 products."""
    rows = []
    for state in case.snapshots:
        operator = Reference(case, dtype=torch.float32, state=state, keep=True).to_scipy()
        rows.append(eigsh(operator, k=2, which="LA", tol=TRUTH / 10, return_eigenvectors=False)[::-1])
    return np.array(rows)


def _looped(one: Callable[[Case], tuple[Any, Any, int]]) -> Callable[[Case], Run]:
    """One checkpoint after the other, each from nothing."""

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            found, matvecs = [], 0
            for state in case.snapshots:
                values, vectors, made = one(case.at(state))
                found.append((values, vectors))
                matvecs += made
            return Answer(found, matvecs)

        return run

    return prepare


def _pyhessian(case: Case) -> tuple[Any, Any, int]:
    tool = peers.PyHessian(case)
    with peers.counting_pyhessian() as counted:
        values, vectors = tool.hessian.eigenvalues(top_n=2)
    return np.array(values), np.stack([flat(v).numpy() for v in vectors], axis=1), counted.matvecs


def _arpack(case: Case) -> tuple[Any, Any, int]:
    tool = peers.Curvlinops(case)
    start = np.random.default_rng(0).standard_normal(case.dim)
    values, vectors = eigsh(tool.operator.to_scipy(), k=2, which="LA", tol=RESIDUAL, v0=start)
    return values, vectors, tool.matvecs
