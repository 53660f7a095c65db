"""Does a flatness measure rank arms, and the runs within them, as the test data do?"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from landscape.comparison.averages import centre
from landscape.comparison.groups import Groups, gather, seeds_of, settings_of
from landscape.comparison.terminal import new_table
from landscape.comparison.verdicts import ALPHA
from landscape.escaping.frames import frame_of
from landscape.escaping.terminal import cell
from landscape.rounding import format_short, format_value
from landscape.statistics import Ranking, granulated, holm, rank_over_groups, rank_within_groups
from landscape.store import Results
from landscape.store.catalogue import IN_RANKS, label_of
from landscape.store.metrics import ACCURACY

if TYPE_CHECKING:
    from rich.table import Table

#: What flatness is held against. Not the gap: test less training loss is ordered by the training loss alone where
#: test losses are alike, and flatness follows the training loss.
TARGETS = ("test_loss", ACCURACY)
COLUMNS = (
    "measure", "target", "arms", "tau_between", "p_between", "p_between_holm", "smallest_p_between", "runs",
    "tau_within", "p_within", "p_within_holm", "smallest_p_within", "psi",
)  # fmt: skip
#: Training losses that differ by a larger factor over the runs are not equal.
FACTOR = 1.1


def ranks(results: Results | str | Path, by: str = "label", *, seed: int = 0) -> pd.DataFrame:
    """Kendall's τ of each flatness measure with test loss and test accuracy: between arms, within arms, by setting.

    Between arms the centres are ranked and p is by exchanging arms; within arms it is the mean τ over seeds, and p is
    by exchanging seeds, the same in all arms where they share them. Runs are not pooled: an association of two arms
    by chance would count as often as they have seeds. It describes these runs and is **not a generalization claim**.

    Parameters
    ----------
    results, by
        As for :func:`landscape.compare`.
    seed : int
        Of random rearrangements, where there are too many to try all.

    Returns
    -------
    DataFrame
        One row per measure and target: ``measure, target``; ``arms, tau_between, p_between``; ``runs, tau_within,
        p_within``; of both p the smallest that so few can reach, and the ones adjusted (Holm) over the measures of a
        target, ``…_holm``; ``psi``, Jiang et al.'s granulated Ψ, where arms are combinations of settings (NaN
        elsewhere), and ``psi_KEY`` of each setting. ``.attrs["notes"]`` says where the runs are not at equal loss.
        Positive with the loss, negative with the accuracy: sharper minima do worse.

    References
    ----------
    Jiang, Neyshabur, Mobahi, Krishnan & Bengio (2020), Fantastic generalization measures and where to find them, ICLR.
    """
    groups = gather(results, by, 0.95)
    settings = _settings_of_arms(groups, by)
    rows: list[dict[str, Any]] = []
    for target in TARGETS:
        found = [_ranked(groups, measure, target, settings, seed) for measure in IN_RANKS]
        for kind in ("between", "within"):
            for row, p in zip(found, holm([row[f"p_{kind}"] for row in found]), strict=True):
                row[f"p_{kind}_holm"] = p
        rows += found
    extra = dict.fromkeys(key for row in rows for key in row if key not in COLUMNS)
    frame = frame_of(rows, [*COLUMNS, *extra])
    frame.attrs = {"by": by, "notes": _notes(groups)}
    return frame


def _ranked(
    groups: Groups, measure: str, target: str, settings: list[dict[str, Hashable]], seed: int
) -> dict[str, Any]:
    both = {
        label: [
            (seed, row[measure], row[target])
            for name, seed in seeds_of(runs).items()
            if (row := groups.rows[name])[measure] is not None and row[target] is not None
        ]
        for label, runs in groups.by_label.items()
    }
    scales = [groups.scale(key) for key in (measure, target)]
    centres = [
        [centre([entry[i + 1] for entry in found], scales[i]).value if found else np.nan for found in both.values()]
        for i in (0, 1)
    ]
    between = rank_over_groups(centres[0], centres[1], seed=seed)
    within = rank_within_groups(
        [({key: x for key, x, _ in found}, {key: y for key, _, y in found}) for found in both.values()], seed=seed
    )
    psi = granulated(settings, centres[0], centres[1]) if len(settings[0]) > 1 else {}
    row = {"measure": measure, "target": target, "arms": between.n, "runs": within.n}
    row |= _of(between, "between") | _of(within, "within")
    row["psi"] = float(np.mean(list(psi.values()))) if psi else np.nan
    return row | {f"psi_{key}": value for key, value in psi.items()}


def _of(found: Ranking, kind: str) -> dict[str, float]:
    return {f"tau_{kind}": found.value, f"p_{kind}": found.p, f"smallest_p_{kind}": found.smallest_p}


def _settings_of_arms(groups: Groups, by: str) -> list[dict[str, Hashable]]:
    """What arms differ in and the runs of an arm agree in; settings that divide the arms alike are one."""
    each = [[settings_of(run) for run in runs] for runs in groups.by_label.values()]
    keys = sorted({key for arm in each for found in arm for key in found} - {"seed", "label", by})
    kept: dict[tuple[int, ...], tuple[str, list[str]]] = {}
    for key in keys:
        values = [{str(found.get(key)) for found in arm} for arm in each]
        if any(len(own) > 1 for own in values):
            continue
        column = [own.pop() for own in values]
        places = {value: i for i, value in enumerate(dict.fromkeys(column))}
        division = tuple(places[value] for value in column)
        if len(places) > 1:
            names = [*kept[division][0].split("/"), key] if division in kept else [key]
            kept[division] = ("/".join(names), column)
    return [{name: column[i] for name, column in kept.values()} for i in range(len(each))]


def _notes(groups: Groups) -> list[str]:
    losses = [
        row["train_loss"]
        for label in groups.by_label
        for run in groups.by_label[label]
        if (row := groups.rows[run.name])["train_loss"] is not None
    ]
    if not losses or (min(losses) > 0 and max(losses) <= FACTOR * min(losses)):
        return []
    low, high = (format_value(loss, digits=2) for loss in (min(losses), max(losses)))
    return [
        f"Not at equal loss: training losses of these runs go from {low} to {high}, and both flatness and test figures "
        "follow it."
    ]


def rank_table(frame: pd.DataFrame) -> Table:
    """For a terminal of 80 columns: test loss, or accuracy where there is none."""
    table = new_table()
    of_loss = frame[frame["target"] == TARGETS[0]].dropna(subset=["tau_between", "tau_within"], how="all")
    shown, target = (of_loss, "test loss") if len(of_loss) else (frame[frame["target"] == TARGETS[1]], "test accuracy")
    shown = shown.dropna(subset=["tau_between", "tau_within"], how="all")
    with_psi = bool(shown["psi"].notna().any())
    titles = [f"flatness against {target}", "τ of arms", "Holm", "τ within", "Holm", *(["Ψ"] if with_psi else [])]
    for i, title in enumerate(titles):
        table.add_column(title, justify="right" if i else "left")
    row: Any
    for row in shown.itertuples():
        cells = [
            label_of(row.measure),
            _tau(row.tau_between),
            _p(row.p_between_holm),
            _tau(row.tau_within),
            _p(row.p_within_holm),
        ]
        table.add_row(*map(cell, [*cells, *([_tau(row.psi)] if with_psi else [])]))
    lines = [
        "τ: Kendall's, of the centres of arms, and within arms over seeds (mean); p by exchanging arms, and seeds, "
        "then adjusted over the measures (Holm)"
        + ("; Ψ: one setting changed at a time (Jiang et al.)" if with_psi else "")
        + ". Not a generalization claim."
    ]  # fmt: skip
    lines += [text for kind in ("between", "within") if (text := cannot_tell(shown, kind))]
    table.caption = cell("\n".join([*lines, *frame.attrs.get("notes", [])]))
    return table


def cannot_tell(frame: pd.DataFrame, kind: str) -> str:
    """That so few arms, or seeds, cannot show an association; empty where they can. ``kind``: between or within."""
    tested = frame.dropna(subset=[f"tau_{kind}"])
    if tested.empty:
        return ""
    least = min(1.0, float(tested[f"smallest_p_{kind}"].min()) * len(tested))
    if least < ALPHA:
        return ""
    count = int(tested["arms" if kind == "between" else "runs"].max())
    what = f"{kind} {count} arms" if kind == "between" else f"{kind} arms, over {count} runs,"
    return f"An association {what} cannot be told by this design: its smallest adjusted p is {least:.2g}."


def _tau(value: float) -> str:
    return "—" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}"


def _p(value: float) -> str:
    return "—" if np.isnan(value) else format_short(float(value))
