"""All numbers in full precision, as CSV."""

from __future__ import annotations

from typing import Any

from landscape.escaping.spreadsheet import csv_text
from landscape.results import Eigenpairs
from landscape.store import Results, rows
from landscape.store.rows import COLUMNS

_EIGENVALUE_COLUMNS = ("run", "step", "index", "value", "residual", "converged", "which")


def summary_csv(results: Results) -> str:
    """One row per analysed checkpoint."""
    return csv_text(COLUMNS, rows(results))


def eigenvalues_csv(results: Results) -> str:
    """One row per eigenvalue."""
    return csv_text(_EIGENVALUE_COLUMNS, _eigenvalue_rows(results))


def _eigenvalue_rows(results: Results) -> list[dict[str, Any]]:
    """One row per eigenvalue, in the order of the record; ``index`` counts from 1."""
    found = []
    for run in results.runs:
        for checkpoint in run.checkpoints:
            eigs = checkpoint.records.get("eigenpairs")
            if isinstance(eigs, Eigenpairs):
                triples = zip(eigs.values.tolist(), eigs.residuals.tolist(), eigs.converged.tolist(), strict=True)
                found += [
                    dict(zip(_EIGENVALUE_COLUMNS, (run.name, checkpoint.step, i, *triple, eigs.which), strict=True))
                    for i, triple in enumerate(triples, start=1)
                ]
    return found
