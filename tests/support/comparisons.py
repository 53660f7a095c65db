"""Runs stored for a comparison, and what it says of them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from landscape.comparison import (
    compare,
)  # fmt: skip
from landscape.results import Estimate, PointValue
from landscape.store import ResultStore


def store_runs(folder: Path, runs: list[tuple[str, dict, float | None]]) -> Path:
    """One run per ``(name, config, trace)``; None leaves the trace out."""
    with ResultStore(folder) as store:
        for name, config, trace in runs:
            store.describe_run(name, {"config": config})
            store.write(name, 1, "point", PointValue(0.1, 0.2, 0.3), {})
            if trace is not None:
                store.write(name, 1, "trace", Estimate(trace), {})
    return folder


def by_group(frame: pd.DataFrame, measure: str = "trace") -> pd.DataFrame:
    return frame[frame["measure"] == measure].set_index("group")


def notes(folder: Path, by: str = "optimizer") -> str:
    return "\n".join(compare(folder, by).attrs["notes"])
