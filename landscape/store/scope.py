"""What the numbers of a folder are of: which examples, which parameters, examined or not. One short line for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from landscape.results import Evaluation
from landscape.store.metrics import COMPARED, CheckpointLike, drawn_from, read_metric

#: Behind a number that was not measured.
SAVED = "†"


class RunLike(Protocol):
    """What a run must have to be described here."""

    @property
    def info(self) -> Mapping[str, Any]: ...
    @property
    def checkpoints(self) -> Sequence[CheckpointLike]: ...


def scope_lines(runs: Iterable[RunLike]) -> list[str]:
    """What must be said beside the numbers; nothing where all were measured, on all examples, and examined."""
    there = [run for run in runs if any(c.records for c in run.checkpoints)]
    return [*_examples(there), *option_lines(there)]


def option_lines(runs: Sequence[RunLike]) -> list[str]:
    """How the objective was asked for, where otherwise than by default."""
    return [
        *(
            f"over the parameters {p} alone, the others fixed: ‖g‖, λ, trace, sharpness"
            for p in _values_of(runs, "params")
        ),
        *(
            "train loss and curvature by the batch statistics of all examples"
            for m in _values_of(runs, "mode")
            if m == "train"
        ),
        *("batches are evaluated whole, for their examples interact" for x in _values_of(runs, "interacting") if x),
        *(
            "the loss was not examined before it was measured (--no-check)"
            for x in _values_of(runs, "checked")
            if not x
        ),
    ]


def saved_line(runs: Iterable[RunLike]) -> list[str]:
    """What the mark of saved numbers means, where one is shown."""
    last = (next((c for c in reversed(run.checkpoints) if c.records), None) for run in runs)
    shown = any(read_metric(c, name).is_saved for c in last if c is not None for name in COMPARED)
    return [f"{SAVED} as training saved it, not measured"] if shown else []


def _examples(runs: list[RunLike]) -> list[str]:
    drawn = sorted({found for run in runs if (found := drawn_from(run.info)) is not None})
    if not drawn:
        return []
    lines = [
        f"on {n:,} of {N:,} training examples, drawn at random: train loss, ‖g‖, λ, trace, sharpness" for n, N in drawn
    ]
    tests = [c.records["test"] for run in runs for c in run.checkpoints if "test" in c.records]
    tested = sorted({record.num_examples for record in tests if isinstance(record, Evaluation)})
    return [*lines, *(f"on all {count:,} test examples: test loss and accuracy" for count in tested)]


def _values_of(runs: Sequence[RunLike], key: str) -> list[Any]:
    """The different values that runs have, where they have any."""
    return list({str(value): value for run in runs if (value := run.info.get(key)) is not None}.values())
