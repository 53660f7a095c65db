"""Of what is kept, what is shown: the checkpoints that the last analysis chose, where they answer its question.

Nothing measured is deleted, so a file also holds checkpoints that are gone or outside the plan, and records of another
question (fewer examples, another dtype). In one table with the others they would mislead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from landscape.store import files
from landscape.store.view import CheckpointResults, PairResult, Results, RunResults

#: Name, in the description of all results, of the checkpoints that are kept and not shown: run → steps.
SET_ASIDE = "set_aside"
#: What makes two records of a checkpoint answers to one question; ``point`` has it from the last analysis.
_QUESTION = ("objective", "constants", "params", "problem", "version", "interacting")
_FIRST = "point"


def only_shown(results: Results, *, new: frozenset[str] = frozenset()) -> Results:
    """The results without what is set aside; what has been measured since that was decided (``new``) is shown."""
    aside = set_aside(results.info)
    runs = tuple(run for run in (_shown_run(run, aside, new) for run in results.runs) if run is not None)
    ends = {run.name: _key(run.checkpoints[-1], _FIRST) if run.checkpoints else {} for run in runs}
    return replace(results, runs=runs, pairs=tuple(pair for pair in results.pairs if _is_between(pair, ends)))


def set_aside(info: Mapping[str, Any]) -> dict[str, frozenset[int]]:
    """The checkpoints that are kept and not shown, by run; none where the description says nothing usable."""
    said = info.get(SET_ASIDE)
    named = said.items() if isinstance(said, dict) else ()
    return {run: frozenset(s for s in steps if isinstance(s, int)) for run, steps in named if isinstance(steps, list)}


def _shown_run(run: RunResults, aside: Mapping[str, frozenset[int]], new: frozenset[str]) -> RunResults | None:
    if run.name not in aside:
        return replace(run, checkpoints=tuple(map(_of_one_question, run.checkpoints)))
    kept = tuple(
        _of_one_question(checkpoint)
        for checkpoint in run.checkpoints
        if checkpoint.step not in aside[run.name] or _is_new(run.name, checkpoint, new)
    )
    return replace(run, checkpoints=kept) if kept else None


def _is_new(run: str, checkpoint: CheckpointResults, new: frozenset[str]) -> bool:
    return any(files.record_entry(run, checkpoint.step, name) in new for name in checkpoint.records)


def _of_one_question(checkpoint: CheckpointResults) -> CheckpointResults:
    """Without records that an earlier question left under names that the last one has not measured."""
    if _FIRST not in checkpoint.records:
        return checkpoint
    last = _question(_key(checkpoint, _FIRST))
    names = [name for name in checkpoint.records if _question(_key(checkpoint, name)) == last]
    if len(names) == len(checkpoint.records):
        return checkpoint
    return replace(
        checkpoint,
        records=MappingProxyType({name: checkpoint.records[name] for name in names}),
        provenance=MappingProxyType({name: checkpoint.provenance[name] for name in names}),
    )


def _key(checkpoint: CheckpointResults, name: str) -> dict[str, Any]:
    return _key_in(checkpoint.provenance.get(name, {}))


def _key_in(provenance: Mapping[str, Any]) -> dict[str, Any]:
    key = provenance.get("key")
    return key if isinstance(key, dict) else {}


def _question(key: Mapping[str, Any]) -> list[Any]:
    return [key.get(name) for name in _QUESTION]


def _is_between(pair: PairResult, ends: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether a line joins the minima that are shown."""
    if pair.run_a not in ends or pair.run_b not in ends:
        return False
    key, shown = _key_in(pair.provenance), [ends[pair.run_a], ends[pair.run_b]]
    if "params" not in key or not all("params" in end for end in shown):
        return True  # nothing to know it by
    return bool(key["params"] == [end["params"] for end in shown])
