"""Results from the disk: ``results.h5`` and its journal read once, put together, and what is to be shown of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from landscape.errors import ResultsError
from landscape.files import json_shapes
from landscape.files.json_shapes import usable
from landscape.results import Record
from landscape.store import files
from landscape.store.files import DamagedResults
from landscape.store.records import read_entry
from landscape.store.selection import only_shown
from landscape.store.view import CheckpointResults, PairResult, Results, RunResults, natural_order


def load_results(path: str | Path, *, vectors: bool = True, everything: bool = False) -> Results:
    """Read what ``landscape analyze`` stored, also while it is running or after it was killed.

    That is what answers the question of the last analysis. More may be kept: see :mod:`landscape.store.selection`.

    Parameters
    ----------
    path : str or Path
        ``results.h5`` or the folder that holds it.
    vectors : bool
        False leaves eigenvectors (P, K) on the disk and returns them as (P, 0): tables and figures need none.
    everything : bool
        True returns all that is kept: of checkpoints outside the last plan, or gone, or asked another question.

    Raises
    ------
    ResultsError
        If there is nothing there, the file is damaged, foreign or of a newer version. A damaged file of the journal
        is passed over: the next analysis measures that record again.
    """
    path = files.results_path(path)
    # The journal first: if a writer merges it meanwhile, what is gone from it is in the results.h5 opened after.
    newest = dict(_journal_values(path, vectors=vectors))
    new = frozenset(newest)
    found = path.exists()
    with contextlib.suppress(FileNotFoundError), files.reading(path) as file:
        for entry in files.entries(file):
            if entry not in newest:
                newest[entry] = read_entry(file, entry, vectors=vectors)
    if not newest and not found:
        raise ResultsError(
            f"no results in {path.parent}: {path.name} is not there; run landscape analyze {path.parent}"
        )
    results = _assembled(path, newest)
    return results if everything else only_shown(results, new=new)


def _journal_values(path: Path, *, vectors: bool) -> Iterator[tuple[str, Any]]:
    for part in files.journal_parts(path):
        with contextlib.suppress(FileNotFoundError, DamagedResults):
            with files.reading(part) as file:
                (entry,) = files.entries(file)
                value = read_entry(file, entry, vectors=vectors)
            yield entry, value


def _assembled(path: Path, values: Mapping[str, Any]) -> Results:
    infos: dict[str, dict[str, Any]] = {}
    metrics: dict[tuple[str, int], dict[str, Any]] = {}
    records: dict[tuple[str, int], dict[str, tuple[Record, dict[str, Any]]]] = {}
    pairs = []
    for entry, value in values.items():
        kind, *links = entry.split("/")
        if kind == "pairs":
            run_a, run_b = map(files.segment_name, links)
            record, provenance = value
            pairs.append(PairResult(run_a, run_b, record, usable(provenance, json_shapes.PROVENANCE)))
        elif kind == "runs":
            run = files.segment_name(links[0])
            infos.setdefault(run, {})
            match links[1:]:
                case ["info"]:
                    infos[run] = usable(value, json_shapes.RUN)
                case ["steps", digits, "info"]:
                    metrics[run, int(digits)] = usable(value, json_shapes.METRICS)
                case ["steps", digits, "records", name]:
                    records.setdefault((run, int(digits)), {})[files.segment_name(name)] = value
    checkpoints: dict[str, list[CheckpointResults]] = {run: [] for run in infos}
    for run, step in sorted({*metrics, *records}):
        found = dict(sorted(records.get((run, step), {}).items(), key=lambda item: natural_order(item[0])))
        checkpoints[run].append(
            CheckpointResults(
                step,
                metrics.get((run, step), {}),
                MappingProxyType({name: record for name, (record, _) in found.items()}),
                MappingProxyType({name: usable(how, json_shapes.PROVENANCE) for name, (_, how) in found.items()}),
            )
        )
    runs = (RunResults(name, infos[name], tuple(checkpoints[name])) for name in sorted(infos, key=natural_order))
    pairs.sort(key=lambda p: (natural_order(p.run_a), natural_order(p.run_b)))
    return Results(path, usable(values.get("info", {}), json_shapes.RESULTS), tuple(runs), tuple(pairs))
