"""A record as it comes back from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landscape.results import Record
from landscape.store import ResultStore


def written_and_read(record: Record, folder: Path) -> Any:
    """Through the journal and a consolidated file, which must agree."""
    with ResultStore(folder) as store:
        store.write("run", 0, "of_a_test", record, {"key": {}})
        first = store.find("run", 0, "of_a_test", {})
        store.consolidate()
        second = store.find("run", 0, "of_a_test", {})
    assert str(first) == str(second)
    return second
