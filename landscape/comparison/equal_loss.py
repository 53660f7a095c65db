"""Groups at equal training loss: each run read between the two measured checkpoints that lie around it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from landscape.comparison.averages import LOG, Centre, centre, centres_of, scale_of
from landscape.comparison.contrasts import Within
from landscape.comparison.equal_loss_contrasts import contrasts_between
from landscape.comparison.groups import gather
from landscape.comparison.loss_paths import LossPath, loss_path, tuples_of, why_left_out
from landscape.crossing import WIDE, between, levels_upwards, lowest_level
from landscape.escaping.frames import frame_of
from landscape.rounding import format_value
from landscape.store import Results, load_results
from landscape.store.catalogue import MEASURES
from landscape.store.levels import matched_levels

#: Losses whose largest is more than this many times the smallest are not equal, and nothing is ranked by them.
EQUAL = 1.1
#: By more than this factor, they are far apart.
FAR = 2.0
HOW = (
    "landscape analyze measures two checkpoints of each run around such a loss, where training saved its losses and "
    "levels is not 0, and landscape match looks for one by measuring them"
)
#: Levels that are looked at, the headline's among them.
LEVELS = 4
COLUMNS = ("level", "measure", "group", "n", "scale", "value", "low", "high", "bend", "loss_below", "loss_above")
RUN_COLUMNS = (
    "level", "measure", "group", "run", "seed", "value", "measuring", "bend", "step_above", "loss_above", "step_below",
    "loss_below",
)  # fmt: skip
MOST_NAMED = 6


@dataclass(frozen=True, eq=False)
class EqualLoss:
    """Groups compared where all runs have one training loss.

    Attributes
    ----------
    levels : tuple of float
        The losses at which they are read, lowest first; the first is the headline's. Empty where ``reason`` says why.
    table : DataFrame
        A row per level, measure and group: ``level, measure, group, n, scale, value, low, high``, the mean over runs
        (geometric on the scale ``"log"``) with its interval; ``bend``, how far interpolation may be off on average, as
        a share of the value on that scale, which the interval leaves out; ``loss_below`` and ``loss_above``, the
        lowest and highest loss of the checkpoints between which runs were read. ``.attrs["notes"]`` as ``notes``.
    runs : DataFrame
        A row per level, measure and run, with its own value and errors (:class:`landscape.crossing.Between`) and the
        two checkpoints between which it was read.
    contrasts : DataFrame
        At the headline's level, as :func:`landscape.comparison.contrasts` has them at the end.
    left_out : dict
        Run → why it cannot be read at the headline's level.
    groups_left_out : dict
        Group → why it is not compared there.
    notes : list of str
    reason : str
        Why there is no level, and what to do.
    by_match : bool
        Whether the levels are those at which ``landscape match`` made the folder, whose last checkpoints are then not
        where training stopped.
    """

    levels: tuple[float, ...]
    table: pd.DataFrame
    runs: pd.DataFrame
    contrasts: pd.DataFrame
    left_out: dict[str, str] = field(default_factory=dict)
    groups_left_out: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reason: str = ""
    by_match: bool = False

    @classmethod
    def nowhere(cls, reason: str) -> EqualLoss:
        """No level, and why."""
        table, runs = pd.DataFrame(columns=list(COLUMNS)), pd.DataFrame(columns=list(RUN_COLUMNS))
        return cls((), table, runs, pd.DataFrame(), reason=reason)

    @property
    def level(self) -> float:
        """The headline's, NaN where there is none."""
        return self.levels[0] if self.levels else math.nan

    def centres(self, measure: str, level: float | None = None) -> dict[Any, Centre]:
        """Group → its centre at a level, the headline's if left out; lowest first."""
        rows = self.table[(self.table["level"] == (self.level if level is None else level))]
        rows = rows[rows["measure"] == measure]
        found = {row.group: Centre(row.value, row.low, row.high, row.scale) for row in tuples_of(rows)}
        return dict(sorted(found.items(), key=lambda item: item[1].value))

    @property
    def measures(self) -> list[str]:
        """Those that two groups have at the headline's level, in the order of the catalogue."""
        return [measure for measure in MEASURES if len(self.centres(measure)) > 1]


def losses_differ(means: pd.DataFrame) -> str:
    """``training losses that differ (a 0.1, b 0.2)`` of the groups of a comparison, lowest first; empty where equal."""
    centres = centres_of(means.dropna(subset=["mean"]), "train_loss")
    losses = sorted(((group, centre.value) for group, centre in centres.items()), key=lambda pair: pair[1])
    if len(losses) < 2:
        return ""
    low, high = losses[0][1], losses[-1][1]
    if high - low <= (EQUAL - 1) * abs(low) * (1 + 1e-9):
        return ""
    listed = ", ".join(f"{group} {format_value(loss, digits=2)}" for group, loss in losses)
    return f"training losses that differ {'by far ' if low <= 0 or high > FAR * low else ''}({listed})"


def at_equal_loss(
    results: Results | str | Path,
    by: str = "label",
    *,
    level: float | None = None,
    levels: int = LEVELS,
    measures: Collection[str] | None = None,
    within: Within = None,
    confidence: float = 0.95,
) -> EqualLoss:
    """Compare groups where their runs have one training loss, by the checkpoints that were measured.

    Runs that end at different losses differ in curvature for that reason alone. So each is read at one loss, between
    its first measured checkpoint as low and the one before it (:func:`landscape.crossing.between`).

    Parameters
    ----------
    results, by, within
        As :func:`landscape.comparison.contrasts` takes them.
    level : float, optional
        A training loss. Left out: those at which ``landscape match`` made the folder, or for which the analysis chose
        checkpoints, or else the lowest that four fifths of the groups reach, each with four fifths of its runs, and
        some above it. Runs that do not reach the
        level are named and left out; so are groups of which fewer than two runs (of several) do.
    levels : int
        How many at most, where ``level`` is left out.
    measures : collection of str, optional
        Left out, all but the training loss.
    confidence : float
        Of the intervals, over runs.

    Returns
    -------
    EqualLoss
        With a ``reason`` and no level where there is none at which groups can be compared.

    Raises
    ------
    UsageError, ResultsError
        As :func:`landscape.compare`.
    """
    if not isinstance(results, Results):
        results = load_results(results, vectors=False)
    gathered = gather(results, by, confidence)
    groups = gathered.by_label
    chosen = [m for m in MEASURES if m != "train_loss" and (measures is None or m in measures)]
    paths = {label: [loss_path(run, chosen) for run in runs] for label, runs in groups.items()}
    if len(paths) < 2:
        return EqualLoss.nowhere("there is one group of runs, and nothing to compare it with")
    given = (level,) if level is not None else gathered.levels
    found = _levels(paths, given, levels)
    if not found:
        return EqualLoss.nowhere(_why_no_level(paths))
    runs = _read(paths, found, chosen)
    table = _centres(runs, paths, confidence)
    headline = table[table["level"] == found[0]]
    there, stand = set(headline["group"]), set(zip(headline["measure"], headline["group"], strict=True))
    left_out = {
        path.run.name: why for group in paths.values() for path in group if (why := why_left_out(path, found[0]))
    }
    gone = {str(label): _too_few(group, left_out) for label, group in paths.items() if label not in there}
    shown = [row.level == found[0] and (row.measure, row.group) in stand for row in tuples_of(runs)]
    contrasts = contrasts_between(runs[shown], groups, within=within, level=confidence)
    contrasts.attrs |= {"by": by, "level": confidence, "notes": []}
    notes = _notes(found[0], runs, table, left_out, gone)
    table.attrs = {"by": by, "level": confidence, "notes": notes}
    by_match = level is None and set(found) <= set(matched_levels(results.path.parent))
    return EqualLoss(found, table, runs, contrasts, left_out, gone, notes, by_match=by_match)


def _levels(paths: dict[Any, list[LossPath]], given: tuple[float, ...], count: int) -> tuple[float, ...]:
    """Those given at which two groups can be read, else as many as the paths allow."""
    reach = {label: [path.reach for path in group] for label, group in paths.items()}

    def stand(level: float) -> int:
        counts = ((sum(low <= level <= high for low, high in runs), len(runs)) for runs in reach.values())
        return sum(there >= min(2, of) for there, of in counts)

    if usable := tuple(level for level in given if stand(level) >= 2):
        return usable
    lowest = lowest_level(reach)
    return () if lowest is None or stand(lowest) < 2 else levels_upwards(reach, lowest, count=count)


def _why_no_level(paths: dict[Any, list[LossPath]]) -> str:
    every = [path for group in paths.values() for path in group]
    if all(len(path.losses) < 2 for path in every):
        return f"one checkpoint of each run was measured, and a loss lies between two: {HOW}"
    ends = [f"{label} {_range(group)}" for label, group in paths.items() if any(path.losses for path in group)]
    return (
        f"no training loss lies between measured checkpoints of most runs ({', '.join(ends[:MOST_NAMED])}): {HOW}, and "
        "save_losses of a training saves checkpoints where its loss falls fast"
    )


def _range(group: list[LossPath]) -> str:
    losses = [loss for path in group for loss in path.losses]
    return " to ".join(dict.fromkeys(format_value(x, digits=2) for x in (min(losses), max(losses))))


def _read(paths: dict[Any, list[LossPath]], levels: tuple[float, ...], measures: list[str]) -> pd.DataFrame:
    """Every run at every level that it passes, measure by measure, on one scale for all."""
    records = []
    for measure in measures:
        values = [v for group in paths.values() for path in group for v in path.values_of(measure)]
        is_log = scale_of(measure, values) == LOG
        for level in levels:
            for label, group in paths.items():
                for path in group:
                    steps, losses, of, errors = path.where(measure)
                    found = between(losses, of, errors, level, log=is_log)
                    if found is None:
                        continue
                    ends = found.ends
                    records.append(
                        (level, measure, label, path.run.name, path.run.seed, found.value, found.measuring, found.bend,
                         steps[ends.above], ends.loss_above, steps[ends.below], ends.loss_below)
                    )  # fmt: skip
    return frame_of(records, RUN_COLUMNS)


def _centres(runs: pd.DataFrame, paths: dict[Any, list[LossPath]], confidence: float) -> pd.DataFrame:
    records = []
    scales = {m: scale_of(m, runs[runs["measure"] == m]["value"].to_list()) for m in dict.fromkeys(runs["measure"])}
    key: Any
    for key, rows in runs.groupby(["level", "measure", "group"], sort=False):
        level, measure, label = key
        if len(rows) < min(2, len(paths[label])):
            continue
        middle = centre(rows["value"].to_list(), scales[measure], confidence, measure=measure)
        records.append(
            (level, measure, label, len(rows), middle.scale, middle.value, middle.low, middle.high, rows["bend"].mean(),
             rows["loss_below"].min(), rows["loss_above"].max())
        )  # fmt: skip
    return frame_of(records, COLUMNS)


def _too_few(group: list[LossPath], left_out: dict[str, str]) -> str:
    there = sum(path.run.name not in left_out for path in group)
    return f"{there} of its {len(group)} runs can be read there"


def _notes(
    level: float, runs: pd.DataFrame, table: pd.DataFrame, left_out: dict[str, str], gone: dict[str, str]
) -> list[str]:
    """What a reader must know of the headline's level, worst first."""
    found = []
    if gone:
        found.append(f"Not compared at this loss: {_listed([f'{group} ({why})' for group, why in gone.items()])}.")
    if left_out:
        found.append(f"Left out at this loss: {_listed([f'{run}: {why}' for run, why in left_out.items()])}.")
    here = runs[runs["level"] == level].drop_duplicates("run")
    wide = here[(here["loss_above"] > WIDE * here["loss_below"]) & (here["step_above"] != here["step_below"])]
    if len(wide):
        named = [f"{row.run} {_short(row.loss_above)} and {_short(row.loss_below)}" for row in tuples_of(wide)]
        found.append(
            f"Read between checkpoints whose losses are more than a factor of {WIDE:g} apart, so mostly a guess: "
            f"{_listed(named)}. Checkpoints saved where the loss falls (save_losses) come closer."
        )
    rough = [row for row in tuples_of(table[table["level"] == level]) if _is_rough(row)]
    if rough:
        named = [f"{MEASURES[row.measure].words} of {row.group}" for row in rough]
        found.append(f"Interpolation may be off by as much as half the interval says: {_listed(named)}.")
    return found


def _is_rough(row: Any) -> bool:
    if not row.low < row.high:
        return False
    half = math.log(row.high / row.low) / 2 if row.scale == LOG and row.low > 0 else (row.high - row.low) / 2
    return bool(row.bend > half / 2)


def _listed(items: list[str]) -> str:
    more = [f"and {len(items) - MOST_NAMED} more"] if len(items) > MOST_NAMED else []
    return ", ".join(items[:MOST_NAMED] + more)


def _short(value: float) -> str:
    return format_value(float(value), digits=2)
