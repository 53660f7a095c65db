"""What trainings saved at every step, brought into the results beside what was measured."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landscape.analysis.recording import now
from landscape.analysis.survey import RunFiles
from landscape.checkpoints import Checkpoint, CheckpointDir, history_of
from landscape.errors import CheckpointError, LandscapeError
from landscape.results import StepHistory
from landscape.store import ResultStore

RECORD = "history"
MOST_BYTES = 1 << 30


def bring_histories(
    store: ResultStore,
    chosen: Mapping[RunFiles, list[Checkpoint]],
    shown: Mapping[str, list[int]],
    load: Callable[[Path], Checkpoint],
) -> None:
    """Store the history of each run with its last checkpoint; it stands in all of them, which ``load`` opens.

    None of a run whose files are larger than ``MOST_BYTES`` in all: they would take long to read.
    """
    for files, checkpoints in chosen.items():
        last = checkpoints[-1]
        if last.step not in shown.get(files.run, ()):
            continue
        folder = Path(last.path).parent
        try:
            found = CheckpointDir(folder)
            key = {**_key(store, files.run, last.step, "point"), "fields": {"checkpoints": len(found)}}
            if _key(store, files.run, last.step, RECORD) == key:
                continue
            record = _read(found, load)
        except LandscapeError:  # it was there a moment ago; what was measured of it counts all the same
            continue
        if record is not None:
            store.write(files.run, last.step, RECORD, record, _provenance(key))


def _key(store: ResultStore, run: str, step: int, name: str) -> dict[str, Any]:
    """Of a stored record; those of one checkpoint name one question, else the older ones are not shown."""
    return (store.provenance(run, step, name) or {}).get("key") or {}


def _read(folder: CheckpointDir, load: Callable[[Path], Checkpoint]) -> StepHistory | None:
    if sum(file.stat().st_size for file in folder.files) > MOST_BYTES:
        return None
    found = history_of(_readable(folder, load))
    names = tuple(name for name in found if name != "step" and np.isfinite(found[name]).any())
    if not names:
        return None
    return StepHistory(names, found["step"], np.stack([found[name] for name in names]))


def _readable(folder: CheckpointDir, load: Callable[[Path], Checkpoint]) -> Iterator[Checkpoint]:
    """One after another, as all of them may not fit into memory."""
    for file in folder.files:
        with contextlib.suppress(CheckpointError):
            yield load(file)


def _provenance(key: dict[str, Any]) -> dict[str, Any]:
    """Nothing was measured: no products, no time."""
    return {"key": key, "seconds": 0.0, "matvecs": 0, "converged": True, "created": now()}
