"""Runs as groups of replicates, and what a reader must know about them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.checks import check_share
from landscape.comparison.averages import scale_of
from landscape.errors import UsageError
from landscape.escaping.control_characters import encodable
from landscape.store import Results, RunResults, load_results
from landscape.store.catalogue import MEASURES, label_of
from landscape.store.levels import analyzed_levels, matched_levels
from landscape.store.metrics import COMPARED
from landscape.store.rows import final_rows
from landscape.store.scope import scope_lines
from landscape.store.view import natural_order

FEW_SEEDS = 10
NOT_A_CLAIM = (
    "This compares where these runs stand, on this problem and these settings. It is not a generalization claim: "
    "that one group is flatter says neither that it generalizes better nor that it would on other data."
)


@dataclass(frozen=True)
class Groups:
    """Runs with their last rows, by group.

    Attributes
    ----------
    runs : list of RunResults
        Those with an analysed checkpoint, in groups or not.
    rows : dict
        The last row of each, by name.
    by_label : dict
        Label → its runs, in the order of the labels.
    levels : tuple of float
        The training losses around which checkpoints were chosen to be measured, lowest first.
    """

    runs: list[RunResults]
    rows: dict[str, Any]
    by_label: dict[Any, list[RunResults]]
    levels: tuple[float, ...] = ()

    def scale(self, measure: str) -> str:
        """``"log"`` or ``"linear"``, one for all groups."""
        return scale_of(measure, [v for label in self.by_label for v in self.values(label, measure)])

    def values(self, label: Any, measure: str) -> list[float]:
        """The measure of every run of a group that has it."""
        return [v for run in self.by_label[label] if (v := self.rows[run.name][measure]) is not None]


def gather(results: Results | str | Path, by: str, level: float) -> Groups:
    """The groups of a folder of results, at the last analysed checkpoint of each run.

    Raises
    ------
    UsageError
        If no run has the key ``by``, or ``level`` is not between 0 and 1.
    """
    check_share("level", level)
    if not isinstance(results, Results):
        results = load_results(results, vectors=False)
    rows = {row["run"]: row for row in final_rows(results)}
    runs = [run for run in results.runs if run.name in rows]
    levels = matched_levels(results.path.parent) or analyzed_levels(results.info)
    return Groups(runs, rows, grouped(runs, by), levels)


def grouped(runs: list[RunResults], by: str) -> dict[Any, list[RunResults]]:
    """Runs by the value of a key, groups in order of that value; runs without the key are left out."""
    groups: dict[Any, list[RunResults]] = {}
    for run in runs:
        value = setting(run, by)
        if value is not None:
            groups.setdefault(value, []).append(run)
    if not groups:
        keys = sorted({key for run in runs for key in settings_of(run)})
        raise UsageError(
            f"by={by!r}: {'none of the runs has it in its training config' if runs else 'no run was analysed yet'}; "
            f"there is {', '.join(keys) or 'nothing to group by'}"
        )
    numeric = all(isinstance(label, int | float) for label in groups)
    return {
        label: groups[label]
        for label in sorted(groups, key=None if numeric else lambda label: natural_order(str(label)))
    }


def setting(run: RunResults, key: str) -> Any:
    """A value fit to name a group: numbers and text as they are, anything else as JSON."""
    value = settings_of(run).get(key)
    if isinstance(value, str):
        return encodable(value)
    return value if value is None or isinstance(value, int | float) else json.dumps(value, sort_keys=True)


def seeds_of(runs: Sequence[RunResults]) -> dict[str, Any]:
    """Name of a run → its seed, or its name where seeds are missing or repeated: nothing is paired that is no pair."""
    counts = Counter(run.seed for run in runs)
    unique = all(run.seed is not None and counts[run.seed] == 1 for run in runs)
    return {run.name: run.seed if unique else run.name for run in runs}


#: Of a training config: where the checkpoint is from, which is no setting.
PROVENANCE = ("imported", "average_of")


def settings_of(run: RunResults) -> dict[str, Any]:
    """The training config, with what is known of the problem and the run besides."""
    found = {key: value for key, value in run.config.items() if key not in PROVENANCE}
    for key in ("problem", "num_parameters", "num_examples", "loss", "mode", "dtype", "lr"):
        if key not in found and key in run.info:
            found[key] = run.info[key]
    found |= {key: value for key in ("optimizer", "label", "seed") if (value := getattr(run, key)) is not None}
    return found


def notes(groups: dict[Any, list[RunResults]], rows: dict[str, Any], by: str, left_out: list[str]) -> list[str]:
    """What a reader of the comparison must know, worst first; ``rows`` by the name of a run."""
    found = []
    few = [f"{label} has {len(runs)}" for label, runs in groups.items() if len(runs) < FEW_SEEDS]
    if few:
        found.append(f"Fewer than {FEW_SEEDS} runs per group ({_shortened(few)}): the intervals are wide and rough.")
    seeds = {label: sorted(str(run.seed) for run in runs) for label, runs in groups.items()}
    if len({tuple(s) for s in seeds.values()}) > 1:
        listed = [f"{label}: {_shortened(s)}" for label, s in seeds.items()]
        found.append(
            f"The groups have different seeds ({_shortened(listed, '; ')}); part of a difference may be theirs."
        )
    for label, runs in groups.items():
        found += _notes_on_replicates(label, runs, by)
    for measure in MEASURES:
        lacking = [run.name for runs in groups.values() for run in runs if rows[run.name][measure] is None]
        if lacking and len(lacking) < sum(map(len, groups.values())):
            found.append(f"{label_of(measure)} is missing for {_shortened(lacking)}; its n is smaller.")
    found += scope_notes(groups, rows)
    failed = [run.name for runs in groups.values() for run in runs if not rows[run.name]["converged"]]
    if failed:
        found.append(f"Not all of {_shortened(failed)} converged; the numbers are used as they are.")
    if left_out:
        found.append(f"Left out, because their config has no {by!r}: {_shortened(left_out)}.")
    return [*found, NOT_A_CLAIM]


def scope_notes(groups: dict[Any, list[RunResults]], rows: dict[str, Any]) -> list[str]:
    """Which examples the measures are of, and which of them were not measured but saved by training."""
    runs = [run for group in groups.values() for run in group]
    found = [f"{line[0].upper()}{line[1:]}." for line in scope_lines(runs)]
    for measure in COMPARED:
        saved = [run.name for run in runs if rows[run.name][f"{measure}_source"] == "saved"]
        if saved:
            who = "all runs" if len(saved) == len(runs) else _shortened(saved)
            found.append(f"{measure} of {who} is as training saved it, not measured.")
    return found


def _notes_on_replicates(label: Any, runs: list[RunResults], by: str) -> list[str]:
    """What makes the runs of one group something else than replicates by seed."""
    notes = []
    repeated = [str(seed) for seed, count in Counter(run.seed for run in runs).items() if count > 1]
    varied = []
    for key in sorted({key for run in runs for key in settings_of(run)} - {"seed", by}):
        values = list(dict.fromkeys(str(setting(run, key)) for run in runs))
        if len(values) > 1:
            varied.append(f"{key} ({_shortened(values)})")
    if varied:
        notes.append(f"Runs of {label} differ in more than the seed, yet count as replicates: {_shortened(varied)}.")
    elif repeated:
        notes.append(f"{label} has several runs of seed {_shortened(repeated)}; they count as independent.")
    return notes


def _shortened(items: Iterable[str], separator: str = ", ", *, most: int = 6) -> str:
    listed = list(items)
    more = [f"and {len(listed) - most} more"] if len(listed) > most else []
    return separator.join(listed[:most] + more)
