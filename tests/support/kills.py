"""Kills at random moments of an analysis: when they come, what is on disk then, and whether anything was lost."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path
from typing import Any

import landscape as ls
from landscape.errors import ResultsError
from landscape.store import rows
from tests.support.processes import wait_until
from tests.support.stores import identical, stored


def wait_for_a_moment(
    rng: random.Random, process: subprocess.Popen[Any], folder: Path, *, longest: float, records: int = 12,
    limit: float = 120, every: float = 0.02,
) -> None:  # fmt: skip
    """Some records further, fewer than ``records``, or some time, up to ``longest``: so kills meet starts,
    measurements and writes."""
    parts = folder / "results.h5.parts"

    def count() -> int:
        return len(list(parts.glob("*"))) if parts.exists() else 0

    if rng.random() < 0.2:
        wait_until(lambda: process.poll() is not None, rng.uniform(0.0, longest), every=every)
        return
    until = count() + rng.randrange(1, records)
    wait_until(lambda: process.poll() is not None or count() >= until, limit, every=every)
    wait_until(lambda: process.poll() is not None, rng.uniform(0.0, 0.05), every=every)


def seen_in(folder: Path) -> dict[Any, Any]:
    """What is stored, if anything is."""
    try:
        return stored(folder)
    except ResultsError:  # right only while nothing was on disk, which the comparison sees to
        return {}


def check_nothing_is_lost(before: dict[Any, Any], now: dict[Any, Any]) -> None:
    assert before.keys() <= now.keys(), f"lost: {sorted(map(str, before.keys() - now.keys()))}"
    for name, (record, how) in before.items():
        assert identical(record, now[name][0]), f"{name} has another value"
        assert how == now[name][1], f"{name} was measured again"


def check_same_table(folder: Path, reference: list[dict[str, Any]]) -> None:
    """As that of an analysis which nobody disturbed, but for how long it took."""
    for mine, whole in zip(rows(ls.load_results(folder)), reference, strict=True):
        assert {k: v for k, v in mine.items() if k != "seconds"} == {k: v for k, v in whole.items() if k != "seconds"}
