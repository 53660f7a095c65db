"""What other tools measured of the same checkpoints, where that was asked."""

from __future__ import annotations

from typing import Any

from landscape.results import Crosscheck
from landscape.results.crosscheck import HEADINGS
from landscape.store import Results


def crosschecks(results: Results) -> list[dict[str, Any]]:
    """A sentence, a table and its causes for each last checkpoint that has one."""
    return [
        {
            "name": run or "this run",
            "sentence": f"At the last checkpoint of {run or 'this run'}, step {step}: {table.summary()}",
            "headings": HEADINGS,
            "rows": list(zip(table.verdicts, table.cells(), strict=True)),
            "causes": table.causes_by_number,
            "versions": ", ".join(table.versions) or "nobody",
        }
        for run, step, table in _found(results)
    ]


def contradicted(results: Results) -> list[tuple[str, str]]:
    """Run, and what disagrees there without a known cause."""
    return [
        (run, "; ".join(f"{row.quantity} by {row.witness}" for row in table.unexplained))
        for run, _, table in _found(results)
        if not table.stands
    ]


def _found(results: Results) -> list[tuple[str, int, Crosscheck]]:
    last = [(run.name, run.checkpoints[-1]) for run in results.runs if run.checkpoints]
    return [
        (name, checkpoint.step, record)
        for name, checkpoint in last
        if isinstance(record := checkpoint.records.get("crosscheck"), Crosscheck)
    ]
