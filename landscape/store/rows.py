"""Results as plain rows: one per analysed checkpoint, strict JSON. Tables, comparison and ``--json`` all read these."""

from __future__ import annotations

import math
from typing import Any

from landscape.results import Evaluation
from landscape.store.catalogue import MEASURES, first_columns, later_columns
from landscape.store.metrics import COMPARED, drawn_from, mismatches, number, read_metric
from landscape.store.view import CheckpointResults, Results, RunResults

# What is said of the numbers: on how many examples, of how many; measured here or saved by training; what is odd.
REMARKS = ("num_examples", "of_examples", "num_test_examples", *(f"{name}_source" for name in COMPARED), "warning")
COLUMNS = (
    "run", "optimizer", "seed", "step", *first_columns(), "converged", "seconds", "matvecs", *later_columns(), *REMARKS
)  # fmt: skip


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
    values: dict[str, Any] = {}
    for measure in MEASURES.values():
        if (reading := measure.read(checkpoint)) is not None:
            values |= dict(zip(measure.columns, (reading.value, reading.error), strict=False))
    spent = checkpoint.provenance.values()
    values["seconds"] = _total(p.get("seconds") for p in spent)
    values["matvecs"] = _total(p.get("matvecs") for p in spent)
    row: dict[str, Any] = {name: _strict(values.get(name)) for name in COLUMNS}
    row |= {"run": run.name, "optimizer": run.optimizer, "seed": run.seed, "step": checkpoint.step}
    row["converged"] = not checkpoint.not_converged
    row |= {f"{name}_source": read_metric(checkpoint, name).source for name in COMPARED}
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


def _total(parts: Any) -> Any:
    known = [p for p in parts if p is not None]
    return sum(known) if known else None


def _strict(value: Any) -> int | float | None:
    """A finite Python number, or None."""
    if value is None or not math.isfinite(value):
        return None
    return int(value) if isinstance(value, int) else float(value)
