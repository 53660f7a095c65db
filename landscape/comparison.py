"""Groups of runs side by side, seeds as replicates: means with intervals that are right for few seeds."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from landscape.errors import UsageError
from landscape.rounding import format_brief
from landscape.store import Results, RunResults, load_results
from landscape.store.rows import MEASURES, final_rows

if TYPE_CHECKING:
    from rich.table import Table

FEW_SEEDS = 10
_MAIN = ("train_loss", "test_accuracy", "grad_norm", "lambda_max", "spectral_ratio", "trace", "sharpness_worst")
COLUMNS = ("group", "measure", "n", "mean", "low", "high", "std")
NOT_A_CLAIM = (
    "This compares the minima of these runs, on this problem and these settings. It is not a generalization claim: "
    "that one group is flatter says neither that it generalizes better nor that it would on other data."
)


def compare(results: Results | str | Path, by: str = "optimizer", *, level: float = 0.95) -> pd.DataFrame:
    """Compare groups of runs in every measured number, at the last analysed checkpoint of each run.

    The runs of a group are replicates: the interval is for the mean over runs like these (another seed), by Student's
    t with n − 1 degrees of freedom, and does not include the measuring error of a single run, which is in the tables.

    Parameters
    ----------
    results : Results or path
        As :func:`landscape.load_results` takes it.
    by : str
        ``"optimizer"``, or a key of the training config that tells groups apart, such as ``"lr"``.
    level : float
        Confidence of the intervals.

    Returns
    -------
    DataFrame
        One row per group and measure with columns ``group, measure, n, mean, low, high, std``. ``n`` counts the runs
        that have the measure; ``std`` is over runs (ddof 1). With ``n = 1`` there is no interval: ``low``, ``high``
        and ``std`` are NaN. ``.attrs["notes"]`` holds what a reader must know, ``.attrs["by"]`` and
        ``.attrs["level"]`` the question.

    Raises
    ------
    UsageError
        If no run has the key ``by`` (the message lists those there are), or ``level`` is not between 0 and 1.
    ResultsError
        If the results cannot be read, or hold no analysed checkpoint.
    """
    if not 0 < level < 1:
        raise UsageError(f"level={level!r} must lie between 0 and 1")
    if not isinstance(results, Results):
        results = load_results(results, vectors=False)
    rows = {row["run"]: row for row in final_rows(results)}
    groups = _grouped([run for run in results.runs if run.name in rows], by)
    records = []
    for label, runs in groups.items():
        for measure in MEASURES:
            values = [v for run in runs if (v := rows[run.name][measure]) is not None]
            if values:
                records.append((label, measure, len(values), *mean_interval(values, level)))
    frame = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    left_out = [
        run.name for run in results.runs if run.name in rows and all(run not in runs for runs in groups.values())
    ]
    frame.attrs = {"by": by, "level": level, "notes": _notes(groups, rows, by, left_out)}
    return frame


def mean_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float, float, float]:
    """``(mean, low, high, std)`` of independent replicates, by Student's t; all but the mean NaN for a single one."""
    sample = np.asarray(values, dtype=float)
    mean = float(sample.mean())
    if sample.size < 2:
        return mean, float("nan"), float("nan"), float("nan")
    std = float(sample.std(ddof=1))
    half = float(stats.t.ppf(0.5 + level / 2, sample.size - 1)) * std / np.sqrt(sample.size)
    return mean, mean - half, mean + half, std


def pivot(comparison: pd.DataFrame, value: str = "mean") -> pd.DataFrame:
    """The same numbers as measures (rows) by groups (columns), in the order of the comparison."""
    wide = comparison.pivot(index="measure", columns="group", values=value)
    measures = [m for m in MEASURES if m in set(comparison["measure"])]
    return wide.reindex(index=measures, columns=list(dict.fromkeys(comparison["group"])))


def cells(comparison: pd.DataFrame) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """Headings of the groups with their n, and per measure the texts ``mean ± half-width``, ``—`` where missing.

    The measuring errors that are columns of their own in the rows are left out.
    """
    groups = list(dict.fromkeys(comparison["group"]))
    runs = comparison.groupby("group", sort=False)["n"].max()
    table = {(row.group, row.measure): _cell(row) for row in comparison.itertuples()}
    there = set(comparison["measure"]) - {"lambda_max_residual", "trace_sem"}
    headings = [f"{group} (n={runs[group]})" for group in groups]
    return headings, [(m, [table.get((group, m), "—") for group in groups]) for m in MEASURES if m in there]


def comparison_table(comparison: pd.DataFrame) -> Table:
    """The comparison for a terminal of 80 columns: mean ± half the interval, and the notes below.

    Up to three groups stand side by side with all measures; more stand below each other with the main ones.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    headings, body = cells(comparison)
    level = comparison.attrs.get("level", 0.95)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1), pad_edge=False, caption_justify="left", caption_style="")
    lines = [f"mean ± half the {100 * level:g} % interval over runs (Student's t); n = 1 has none"]
    wide = len(headings) <= 3
    if wide:
        titles = ["measure", *headings]
        grid = [[measure, *texts] for measure, texts in body]
    else:
        main = [(measure, texts) for measure, texts in body if measure in _MAIN]
        titles = [str(comparison.attrs.get("by", "group")), *(m.replace("_", "\n", 1) for m, _ in main)]
        grid = [[h, *(t[i].replace(" ± ", "\n± ") for _, t in main)] for i, h in enumerate(headings)]
    for i, title in enumerate(titles):
        table.add_column(Text(title), justify="right" if i else "left", no_wrap=(i == 0) == wide, overflow="fold")
    for texts in grid:
        table.add_row(*map(Text, texts))
    table.caption = Text("\n".join([*lines, *comparison.attrs.get("notes", [])]))
    return table


def _cell(row: Any) -> str:
    half = None if np.isnan(row.low) else (row.high - row.low) / 2
    return format_brief(row.mean, half)


def _grouped(runs: list[RunResults], by: str) -> dict[Any, list[RunResults]]:
    """Runs by the value of a key, groups in order of that value; runs without the key are left out."""
    groups: dict[Any, list[RunResults]] = {}
    for run in runs:
        value = _setting(run, by)
        if value is not None:
            groups.setdefault(value, []).append(run)
    if not groups:
        keys = sorted({key for run in runs for key in _settings(run)})
        raise UsageError(
            f"by={by!r}: {'none of the runs has it in its training config' if runs else 'no run was analysed yet'}; "
            f"there is {', '.join(keys) or 'nothing to group by'}"
        )
    numeric = all(isinstance(label, int | float) for label in groups)
    return {label: groups[label] for label in sorted(groups, key=None if numeric else str)}


def _setting(run: RunResults, key: str) -> Any:
    """A value fit to name a group: numbers and text as they are, anything else as JSON."""
    value = _settings(run).get(key)
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _settings(run: RunResults) -> dict[str, Any]:
    found = run.config
    for key in ("problem", "num_parameters", "num_examples", "loss", "mode", "dtype", "lr"):
        if key not in found and key in run.info:
            found[key] = run.info[key]
    found |= {key: value for key in ("optimizer", "seed") if (value := getattr(run, key)) is not None}
    return found


def _notes(groups: dict[Any, list[RunResults]], rows: dict[str, Any], by: str, left_out: list[str]) -> list[str]:
    notes = []
    few = [f"{label} has {len(runs)}" for label, runs in groups.items() if len(runs) < FEW_SEEDS]
    if few:
        notes.append(f"Fewer than {FEW_SEEDS} runs per group ({_shortened(few)}): the intervals are wide and rough.")
    seeds = {label: sorted(str(run.seed) for run in runs) for label, runs in groups.items()}
    if len({tuple(s) for s in seeds.values()}) > 1:
        told = [f"{label}: {_shortened(s)}" for label, s in seeds.items()]
        notes.append(f"The groups have different seeds ({_shortened(told, '; ')}); part of a difference may be theirs.")
    for label, runs in groups.items():
        notes += _notes_on_replicates(label, runs, by)
    for measure in MEASURES:
        lacking = [run.name for runs in groups.values() for run in runs if rows[run.name][measure] is None]
        if lacking and len(lacking) < sum(map(len, groups.values())):
            notes.append(f"{measure} is missing for {_shortened(lacking)}; its n is smaller.")
    failed = [run.name for runs in groups.values() for run in runs if not rows[run.name]["converged"]]
    if failed:
        notes.append(f"Not all of {_shortened(failed)} converged; the numbers are used as they are.")
    if left_out:
        notes.append(f"Left out, because their config has no {by!r}: {_shortened(left_out)}.")
    return [*notes, NOT_A_CLAIM]


def _notes_on_replicates(label: Any, runs: list[RunResults], by: str) -> list[str]:
    """What makes the runs of one group something else than replicates by seed."""
    notes = []
    repeated = [str(seed) for seed, count in Counter(run.seed for run in runs).items() if count > 1]
    varied = []
    for key in sorted({key for run in runs for key in _settings(run)} - {"seed", by}):
        values = list(dict.fromkeys(str(_setting(run, key)) for run in runs))
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
