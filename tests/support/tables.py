"""Results made for tables, and what is printed and written of them."""

from __future__ import annotations

from pathlib import Path

from landscape.store import Results, ResultStore, load_results
from tests.support.synthetic_results import provenance, run_info


def one_run(folder: Path, records: dict, *, metrics: dict | None = None, run: str = "adam-s0") -> Results:
    with ResultStore(folder) as store:
        store.describe_run(run, run_info("adam", 0))
        store.describe_checkpoint(run, 7, metrics or {})
        for name, record in records.items():
            store.write(run, 7, name, record, provenance(name, record))
    return load_results(folder)
