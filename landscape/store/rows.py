"""Results as plain rows: one per analysed checkpoint, strict JSON. Tables, comparison and ``--json`` all read these."""

from __future__ import annotations

import math
from typing import Any

from landscape.store.view import CheckpointResults, Results, RunResults

SHARPNESS = ("sharpness_worst", "sharpness_average", "sharpness_adaptive_worst", "sharpness_adaptive_average")
COLUMNS = (
    "run",
    "optimizer",
    "seed",
    "step",
    "train_loss",
    "test_loss",
    "test_accuracy",
    "grad_norm",
    "lambda_max",
    "lambda_max_residual",
    "lambda_min",
    "spectral_gap",
    "spectral_ratio",
    "trace",
    "trace_sem",
    *SHARPNESS,
    "converged",
    "seconds",
    "matvecs",
    "second_order_gain",
)
# What differs between runs of one optimizer because it was measured, not chosen.
MEASURES = tuple(c for c in COLUMNS if c not in ("run", "optimizer", "seed", "step", "converged", "seconds", "matvecs"))


def rows(results: Results) -> list[dict[str, Any]]:
    """One dict per run and analysed checkpoint, with the keys of ``COLUMNS`` in that order.

    What is missing or not finite is None. ``seconds`` and ``matvecs`` are sums over the records of the checkpoint;
    ``converged`` is True only if all of them converged. ``lambda_max_residual`` bounds the error of ``lambda_max``,
    ``trace_sem`` is a standard error; worst-case sharpness is a lower bound.
    """
    return [_row(run, c) for run in results.runs for c in run.checkpoints if c.records]


def final_rows(results: Results) -> list[dict[str, Any]]:
    """The row of the last analysed checkpoint of each run that has one."""
    return [_row(run, c) for run in results.runs if (c := final_checkpoint(run)) is not None]


def final_checkpoint(run: RunResults) -> CheckpointResults | None:
    """The last checkpoint of which anything was measured."""
    return next((c for c in reversed(run.checkpoints) if c.records), None)


def _row(run: RunResults, checkpoint: CheckpointResults) -> dict[str, Any]:
    metrics, records = checkpoint.metrics, checkpoint.records
    values: dict[str, Any] = {name: metrics.get(name) for name in ("train_loss", "test_loss", "test_accuracy")}
    # The gradient of the objective that was measured stands beside its curvature; training's own is the second choice.
    point = records.get("point")
    values["grad_norm"] = getattr(point, "grad_norm", metrics.get("grad_norm"))
    if values["train_loss"] is None:
        values["train_loss"] = getattr(point, "loss", None)
    values |= _curvature(records)
    values |= {name: getattr(records.get(name), "value", None) for name in (*SHARPNESS, "second_order_gain")}
    spent = checkpoint.provenance.values()
    values["seconds"] = _total(p.get("seconds") for p in spent)
    values["matvecs"] = _total(p.get("matvecs") for p in spent)
    row: dict[str, Any] = {name: _strict(values.get(name)) for name in COLUMNS}
    row |= {"run": run.name, "optimizer": run.optimizer, "seed": run.seed, "step": checkpoint.step}
    row["converged"] = not checkpoint.not_converged
    return row


def _curvature(records: Any) -> dict[str, Any]:
    values: dict[str, Any] = {}
    eigs = records.get("eigenpairs")
    if eigs is not None and eigs.largest is not None:
        values["lambda_max"], values["lambda_max_residual"] = eigs.largest.value, eigs.largest.bound
    if eigs is not None and eigs.smallest is not None:
        values["lambda_min"] = eigs.smallest.value
    gap, trace = records.get("gap"), records.get("trace")
    if gap is not None:
        values["spectral_gap"], values["spectral_ratio"] = gap.difference.value, gap.ratio.value
    if trace is not None:
        values["trace"], values["trace_sem"] = trace.value, trace.sem
    return values


def _total(parts: Any) -> Any:
    known = [p for p in parts if p is not None]
    return sum(known) if known else None


def _strict(value: Any) -> int | float | None:
    """A finite Python number, or None."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int) else float(value)
