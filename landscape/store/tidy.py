"""All numbers of results as one tidy table: a row for each run, step and measure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from landscape.results import Evaluation
from landscape.store.catalogue import MEASURES, Measure
from landscape.store.metrics import CheckpointLike
from landscape.store.reading import LOWER_BOUND, Reading

if TYPE_CHECKING:
    import pandas as pd

    from landscape.store.view import PairResult, RunResults

_NUMBER = ("measure", "value", "error", "error_kind", "low", "high", "converged", "unit", "source")
#: The columns of the table of runs, and of that of pairs.
COLUMNS = ("run", "label", "optimizer", "seed", "step", *_NUMBER)
PAIR_COLUMNS = ("run_a", "run_b", "label_a", "label_b", "seed_a", "seed_b", *_NUMBER)


def readings(checkpoint: CheckpointLike) -> dict[str, Reading]:
    """Every measure of the catalogue that a checkpoint has, in the catalogue's order; one that is NaN, too."""
    found = ((key, measure.read(checkpoint)) for key, measure in MEASURES.items())
    return {key: reading for key, reading in found if reading is not None}


def own_measures(checkpoint: CheckpointLike) -> dict[str, float]:
    """What the problem measures by itself, each name behind that of its split: ``test: margin``."""
    found: dict[str, float] = {}
    for split in ("train", "test"):
        record = checkpoint.records.get(split)
        if isinstance(record, Evaluation):
            found |= {f"{split}: {name}": value for name, value in record.measures.items()}
    return found


def unit_of(measure: Measure) -> str:
    """The unit of a measure as it is stored: of a share none, which figures and tables show in percent."""
    return "" if measure.is_share else measure.unit


def tidy_runs(runs: Iterable[RunResults]) -> pd.DataFrame:
    """A row for each measure at each checkpoint of which anything was measured."""
    return _frame((row for run in runs for row in _rows_of(run)), COLUMNS, seeds=("seed",))


def tidy_pairs(pairs: Iterable[PairResult], runs: Iterable[RunResults]) -> pd.DataFrame:
    """A row for the barrier of each pair of runs."""
    known = {run.name: run for run in runs}
    return _frame((_row_of(pair, known) for pair in pairs), PAIR_COLUMNS, seeds=("seed_a", "seed_b"))


def _rows_of(run: RunResults) -> Iterator[dict[str, Any]]:
    of_run = {"run": run.name, "label": run.label, "optimizer": run.optimizer, "seed": run.seed}
    for checkpoint in run.checkpoints:
        if not checkpoint.records:
            continue
        for key, reading in readings(checkpoint).items():
            yield {**of_run, "step": checkpoint.step, **_number(key, reading, unit_of(MEASURES[key]))}
        for key, value in own_measures(checkpoint).items():
            yield {**of_run, "step": checkpoint.step, **_number(key, Reading(value), "")}


def _row_of(pair: PairResult, runs: dict[str, RunResults]) -> dict[str, Any]:
    ends = {"a": runs.get(pair.run_a), "b": runs.get(pair.run_b)}
    row: dict[str, Any] = {"run_a": pair.run_a, "run_b": pair.run_b}
    row |= {f"label_{end}": None if run is None else run.label for end, run in ends.items()}
    row |= {f"seed_{end}": None if run is None else run.seed for end, run in ends.items()}
    barrier = pair.record.barrier
    # The largest of the points evaluated: between them the loss may be higher.
    return row | _number("barrier", Reading(barrier, error_kind=LOWER_BOUND, low=barrier, high=math.inf), "loss")


def _number(key: str, reading: Reading, unit: str) -> dict[str, Any]:
    return {
        "measure": key,
        "value": reading.value,
        "error": reading.error,
        "error_kind": reading.error_kind,
        "low": reading.low,
        "high": reading.high,
        "converged": reading.converged,
        "unit": unit,
        "source": "saved" if reading.saved else "measured",
    }


def _frame(rows: Iterable[dict[str, Any]], columns: tuple[str, ...], *, seeds: tuple[str, ...]) -> pd.DataFrame:
    """With numbers as numbers where all are missing, too."""
    import pandas as pd

    # As objects: a run may have a name of bytes that are no UTF-8, which pyarrow, where it is installed, refuses.
    frame = pd.DataFrame(list(rows), columns=list(columns), dtype=object)
    kinds: dict[str, str] = dict.fromkeys(("value", "error", "low", "high"), "float64")
    kinds |= dict.fromkeys(seeds, "Int64") | {"converged": "bool"}
    return frame.astype(kinds | ({"step": "int64"} if "step" in columns else {}))
