"""Records on disk: small results, all that a folder holds, and whether two records are the same to the last bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

import landscape as ls
from landscape.results import Estimate, Record
from landscape.store import ResultStore, files


def identical(a: object, b: object) -> bool:
    """Same class, same bits; NaN equals NaN."""
    if isinstance(a, Record):
        names = [f.name for f in dataclasses.fields(a)]
        return type(a) is type(b) and all(identical(getattr(a, n), getattr(b, n)) for n in names)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if isinstance(a, float) and isinstance(b, float):
        return np.float64(a).tobytes() == np.float64(b).tobytes() or (a != a and b != b)
    return type(a) is type(b) and a == b


def stored(folder: Path) -> dict:
    """Every record on disk with how it was measured: its seconds tell it from one that was measured again."""
    found = ls.load_results(folder, everything=True)
    records = {
        (run.name, c.step, name): (record, c.provenance[name])
        for run in found.runs
        for c in run.checkpoints
        for name, record in c.records.items()
    }
    return records | {(p.run_a, p.run_b): (p.record, p.provenance) for p in found.pairs}


KEY = {"tol": 1e-3, "seed": 0, "nested": {"p": [1, 2.5, None]}}


def small_results(folder: Path, *, consolidate: bool) -> Path:
    folder.mkdir(exist_ok=True)
    with ResultStore(folder) as store:
        store.describe_run("a", {"optimizer": "adam"})
        store.write("a", 1, "trace", Estimate(1.0, samples=np.arange(300.0)), {"key": KEY})
        if consolidate:
            return store.consolidate()
    return max(files.journal_parts(folder / "results.h5"), key=lambda p: p.stat().st_size)
