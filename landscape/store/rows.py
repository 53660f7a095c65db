"""Results as plain rows: one per analysed checkpoint, strict JSON. Tables, comparison and ``--json`` all read these."""

from __future__ import annotations

import math
from typing import Any

from landscape.results import Evaluation
from landscape.store.metrics import COMPARED, drawn_from, mismatches, number, read_metric
from landscape.store.view import CheckpointResults, Results, RunResults

SHARPNESS = ("sharpness_worst", "sharpness_average", "sharpness_adaptive_worst", "sharpness_adaptive_average")
# What is said of the numbers: on how many examples, of how many; measured here or saved by training; what is odd.
REMARKS = (
    "num_examples",
    "of_examples",
    "num_test_examples",
    *(f"{name}_source" for name in COMPARED),
    "warning",
)
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
    *REMARKS,
)
# What differs between runs of one optimizer because it was measured, not chosen.
_NAMES = ("run", "optimizer", "seed", "step", "converged", "seconds", "matvecs", *REMARKS)
MEASURES = tuple(c for c in COLUMNS if c not in _NAMES)


def rows(results: Results) -> list[dict[str, Any]]:
    """One dict per run and analysed checkpoint, with the keys of ``COLUMNS`` in that order.

    What is missing or not finite is None. ``seconds`` and ``matvecs`` are sums over the records of the checkpoint;
    ``converged`` is True only if all of them converged. ``lambda_max_residual`` bounds the error of ``lambda_max``,
    ``trace_sem`` is a standard error; worst-case sharpness is a lower bound. Training loss, gradient and curvature are
    of ``num_examples`` examples, drawn from ``of_examples``; test loss and accuracy of all ``num_test_examples``, or as
    training saved them, which ``test_loss_source`` says. ``warning`` names saved numbers that are not those measured.
    """
    return [_row(run, c) for run in results.runs for c in run.checkpoints if c.records]


def final_rows(results: Results) -> list[dict[str, Any]]:
    """The row of the last analysed checkpoint of each run that has one."""
    return [_row(run, c) for run in results.runs if (c := final_checkpoint(run)) is not None]


def final_checkpoint(run: RunResults) -> CheckpointResults | None:
    """The last checkpoint of which anything was measured."""
    return next((c for c in reversed(run.checkpoints) if c.records), None)


def _row(run: RunResults, checkpoint: CheckpointResults) -> dict[str, Any]:
    records = checkpoint.records
    metrics = {name: read_metric(checkpoint, name) for name in (*COMPARED, "grad_norm")}
    values: dict[str, Any] = {name: metric.value for name, metric in metrics.items()}
    values |= _curvature(records)
    values |= {name: getattr(records.get(name), "value", None) for name in (*SHARPNESS, "second_order_gain")}
    spent = checkpoint.provenance.values()
    values["seconds"] = _total(p.get("seconds") for p in spent)
    values["matvecs"] = _total(p.get("matvecs") for p in spent)
    row: dict[str, Any] = {name: _strict(values.get(name)) for name in COLUMNS}
    row |= {"run": run.name, "optimizer": run.optimizer, "seed": run.seed, "step": checkpoint.step}
    row["converged"] = not checkpoint.not_converged
    row |= {f"{name}_source": metrics[name].source for name in COMPARED}
    return row | _remarks(run, checkpoint)


def _remarks(run: RunResults, checkpoint: CheckpointResults) -> dict[str, Any]:
    count, test = number(run.info.get("num_examples")), checkpoint.records.get("test")
    found = drawn_from(run.info) or (count, count)
    odd = "; ".join(map(str, mismatches(checkpoint, run.info)))
    return {
        "num_examples": None if found[0] is None else int(found[0]),
        "of_examples": None if found[1] is None else int(found[1]),
        "num_test_examples": test.num_examples if isinstance(test, Evaluation) else None,
        "warning": odd or None,
    }


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
