"""What a study found, in sentences: each answer with its interval, and what this design could and could not tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from landscape.comparison import (
    EQUAL,
    LOG,
    centre_of,
    estimate_of,
    interval_text,
    other_levels,
    verdict_text,
    where_read,
)
from landscape.plots.arrays import group_of
from landscape.plots.drawing import join_words
from landscape.results import LineSlice, SecondOrderGain
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.catalogue import MEASURES
from landscape.store.metrics import ACCURACY, class_accuracies
from landscape.store.stationarity import kinds_sentence
from landscape.study.basins import wells_sentences
from landscape.study.blocks import blocks_sentences
from landscape.study.decision_sentences import difference_sentences, primary_sentence, rank_sentences, spread_sentences
from landscape.study.findings import MANY, Material
from landscape.study.forgetting import forgetting_sentences
from landscape.study.histories import validation_sentences
from landscape.study.numbers import SAME, centre_text, interval_of, number, over_seeds, unit_of
from landscape.study.quantities import told
from landscape.study.watched import watched_sentences
from landscape.study.writing import samples_sentences

#: More classes than these, such as the characters of a text, are not told one by one.
MOST_CLASSES = 20


def findings(material: Material) -> list[str]:
    """Sentences on spread, generalisation, classes, flatness, the gap, second-order steps, ranks; plain text."""
    found, means, pairs = material.found, material.means, material.pairs

    def order(measure: str, opening: str, *, largest: bool = False) -> list[str]:
        return _each(material, measure, lambda rows: _in_order(rows, measure, opening, largest=largest))

    def best(measure: str, wording: str, *, largest: bool = False) -> list[str]:
        return _each(material, measure, lambda rows: _best(rows, pairs, measure, wording, largest=largest))

    own = [
        *_at_equal_loss(material),
        *told(material.study, material.costs),
        primary_sentence(material),
        *told(material.study, material.measured),
        *forgetting_sentences(material.forgetting),
    ]
    kinds = kinds_sentence(run.last for run in found.runs if run.checkpoints)
    if material.study.only:
        classes = _classes(found) if ACCURACY in material.study.only else ""
        return _begun_large([*own, *watched_sentences(material), classes, kinds])
    said = [
        *own,
        *wells_sentences(material.wells),
        *spread_sentences(material.spreads),
        *watched_sentences(material),
        *order("train_loss", "the training loss at the end"),
        *validation_sentences(material.study, material.results.parent),
        *(best("train_loss", "smallest training loss at the end") if material.study.primary == "train_loss" else []),
        *best("test_accuracy", "highest mean test accuracy", largest=True),
        _classes(found),
        *best("lambda_max", "smallest λ_max where training stopped"),
        _rises(found) if means["group"].nunique() <= MANY else "",
        *best(
            "sharpness_adaptive_worst",
            "smallest adaptive sharpness (invariant to rescaling of layers) where training stopped",
        ),
        *order("spectral_ratio", "the spectral ratio λ₁/λ₂ at the end", largest=True),
        *blocks_sentences(material.study, material.blocks),
        kinds,
        _gain(means, found),
        *samples_sentences(material.samples),
        *difference_sentences(material),
        *(rank_sentences(found) if _is_one_question(material) else []),
    ]
    return _begun_large(said)


def _begun_large(said: list[str]) -> list[str]:
    return [sentence[0].upper() + sentence[1:] for sentence in said if sentence]


def _is_one_question(material: Material) -> bool:
    """Whether the test losses of all arms may be ranked together."""
    within = material.study.within
    return within != "problem_config" and (isinstance(within, str) or material.study.same_problem())


def _at_equal_loss(material: Material) -> list[str]:
    """The comparison that counts: who is flattest where all stand at one training loss; or why that is not known."""
    found, means = material.at_equal_loss, material.matched_means
    if found is None or means is None:
        return (
            [f"the arms were not compared at equal training loss: {material.unmatched}."] if material.unmatched else []
        )
    level = format_value(found.level, digits=3)
    gone = f" Not compared there: {join_words([*found.groups_left_out])}." if found.groups_left_out else ""
    adaptive = "smallest adaptive sharpness (invariant to rescaling of layers) at that loss"
    return [
        _in_order(means, "lambda_max", f"at equal training loss ({where_read(found)}) λ_max", largest=False) + gone,
        *(
            _best(means, found.contrasts, measure, wording, largest=False)
            for measure, wording in (
                ("lambda_max", f"smallest λ_max at a training loss of {level}"), ("sharpness_adaptive_worst", adaptive)
            )
        ),
        other_levels(found),
    ]  # fmt: skip


def _each(material: Material, measure: str, sentence_on: Callable[[pd.DataFrame], str]) -> list[str]:
    """A sentence on all arms; where only some are compared with each other, and differ, one for each set of those."""
    means = material.means
    if not material.study.within or _agree(_rows_of(means, measure)):
        return [sentence_on(means)]
    found = []
    for shared, arms in material.study.strata().items():
        sentence = sentence_on(means[means["group"].isin([arm.label for arm in arms])])
        word = "with" if isinstance(material.study.within, str) else "among"
        found.append(f"{word} {shared}, {sentence}" if sentence else "")
    return found


def _best(means: pd.DataFrame, pairs: pd.DataFrame | None, measure: str, wording: str, *, largest: bool) -> str:
    """The first arm, how far it is from the second, and whether that stands out of the spread over seeds."""
    rows = _rows_of(means, measure)
    if rows.empty:
        return ""
    if _agree(rows):
        shared = _centres(rows).mean()
        shared_text = f"{100 * shared:.1f} %" if MEASURES[measure].is_share else number(shared)
        return f"the {wording} is the same in all arms: {shared_text}."
    order = _sorted(rows, largest=largest)
    first, middles = order.iloc[0], _centres(order)
    level = int((np.abs(middles - middles[0]) <= SAME * abs(middles[0])).sum())
    who = f"arm {first['group']} has" if level == 1 else f"arms {join_words(order['group'][:level].to_list())} share"
    sentence = f"{who} the {wording}: {interval_of(first)}{_beside(means, measure, order['group'][:level].to_list())}"
    if len(order) == level or pairs is None:
        return sentence + "."
    second = order.iloc[level]
    pair = _pair(pairs, measure, first["group"], second["group"])
    if pair is None:
        return sentence + "."
    told = [f"adjusted p = {number(pair['p_holm'])}"] if np.isfinite(pair["p_holm"]) else []
    told += [text] if (text := verdict_text(pair)) else []
    return f"{sentence}; next is {second['group']}, {_difference(pair, first['group'])} ({'; '.join(told)})."


def _beside(means: pd.DataFrame, measure: str, first: Sequence[Any]) -> str:
    """At which training loss the first arms stand, and the others: flatness follows it. Empty where they are equal."""
    rows = _rows_of(means, "train_loss")
    if not MEASURES[measure].is_flatness or len(rows) < 2:
        return ""
    losses = {row["group"]: centre_of(row).value for _, row in rows.iterrows()}
    own = [losses[group] for group in first if group in losses]
    others = [loss for group, loss in losses.items() if group not in first]
    if not own or not others or max(losses.values()) <= EQUAL * min(losses.values()):
        return ""
    return f", at a training loss of {_from_to(own)} where the others stand at {_from_to(others)}"


def _from_to(values: Sequence[float]) -> str:
    return " to ".join(dict.fromkeys(number(value, digits=2) for value in (min(values), max(values))))


def _difference(pair: Any, first: Any) -> str:
    """How far the first arm is from the other: a factor of it, or a difference, with its simultaneous interval."""
    turned = pair["a"] != first
    if pair["scale"] == LOG:
        opening, unit, turn = "of which it has", " times", _inverse if turned else float
    else:
        scale, unit = unit_of(pair["measure"])
        opening, turn = "from which it differs by", lambda x: (-scale if turned else scale) * x + 0.0
    interval = interval_text(pair, number, turn=turn)
    return f"{opening} {number(turn(estimate_of(pair)[0]))}{f' {interval}' if interval else ''}{unit}"


def _inverse(ratio: float) -> float:
    return 1 / ratio if ratio else np.inf


def _classes(found: Results) -> str:
    """The class on which the arms differ most, with the intervals of its best and worst."""
    accuracies: dict[str, list[np.ndarray]] = {}
    for run in found.runs:
        if run.checkpoints and (row := class_accuracies(run.last)[0]) is not None:
            accuracies.setdefault(group_of(run), []).append(100 * row)
    sizes = {rows[0].size for rows in accuracies.values()}
    if len(accuracies) < 2 or len(sizes) > 1 or max(sizes) > MOST_CLASSES:
        return ""
    tables = {label: np.stack(rows) for label, rows in accuracies.items()}
    centres = np.stack([table.mean(0) for table in tables.values()])
    spread = np.ptp(centres, axis=0)
    if not np.isfinite(spread).any():
        return ""
    worst, labels = int(np.nanargmax(spread)), list(tables)
    ends = [labels[int(choose(centres[:, worst]))] for choose in (np.argmax, np.argmin)]
    most, least = (f"{label} {over_seeds(tables[label][:, worst].tolist())} %" for label in ends)
    hardest = int(np.nanargmin(centres.mean(0)))
    return (
        f"Class by class the arms differ most on class {worst}: {most} against {least}. Hardest for all together "
        f"is class {hardest}, with {centres[:, hardest].mean():.1f} %."
    )


def _rises(found: Results) -> str:
    """How much the loss rises along the top eigenvector, by arm: flat where it rises least."""
    rises: dict[str, list[float]] = {}
    reach = 0.0
    for run in found.runs:
        line = run.last.records.get("line_eigenvector_1") if run.checkpoints else None
        if isinstance(line, LineSlice):
            rise = float(np.mean([line.loss[0], line.loss[-1]]) - line.loss[len(line.loss) // 2])
            rises.setdefault(group_of(run), []).append(rise)
            reach = float(line.t[-1]) * line.step_norm
    rises = {label: values for label, values in rises.items() if np.isfinite(values).all()}
    if not rises:
        return ""
    order = sorted(rises, key=lambda label: float(np.mean(rises[label])))
    listed = ", ".join(f"{label} {over_seeds(rises[label])}" for label in order)
    where = f"At a distance of {format_value(reach)} along the top eigenvector"
    means = [float(np.mean(values)) for values in rises.values()]
    if _one_number(means):
        return f"{where} the loss is higher by {number(float(np.mean(means)))} in all arms."
    return f"{where} the loss is higher by, flattest first: {listed}."


def _in_order(means: pd.DataFrame | None, measure: str, opening: str, *, largest: bool) -> str:
    """All arms in the order of their means."""
    rows = pd.DataFrame() if means is None else _rows_of(means, measure)
    if rows.empty:
        return ""
    if _agree(rows):
        return f"{opening} is the same in all arms: {number(_centres(rows).mean())}."
    listed = ", ".join(f"{row['group']} {centre_text(row)}" for _, row in _sorted(rows, largest=largest).iterrows())
    return f"{opening}: {listed}."


def _gain(means: pd.DataFrame, found: Results) -> str:
    """Whether second-order information would pay at the end, at equal cost and with three dampings."""
    rows = _rows_of(means, "second_order_gain")
    if rows.empty:
        return ""
    order = _sorted(rows, largest=True)
    low, high = order.iloc[-1], order.iloc[0]
    ends = f"{centre_text(low)} ({low['group']}) to {centre_text(high)} ({high['group']})"
    if _agree(rows):
        ends = number(float(_centres(rows).mean()))
    measured = [run.last.records.get("second_order_gain") for run in found.runs if run.checkpoints]
    gains = [gain for gain in measured if isinstance(gain, SecondOrderGain) and np.isfinite(gain.value)]
    # How the gain moves with the damping: of each run its gains over the middle one, geometric means over runs.
    moves = np.exp(np.mean([np.log(gain.over_descent / gain.value) for gain in gains], axis=0))
    least, most = centre_of(low).value * moves.min(), centre_of(high).value * moves.max()
    verdict = "would pay" if least > 3 else "would pay little" if most < 1.5 else "may pay"
    counts = sorted({gain.num_steps for gain in gains})
    steps = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    steps += " product" if counts == [1] else " products"
    return (
        f"Second-order information {verdict} at the end: at equal cost, {steps}, a damped Newton step lowers "
        f"the quadratic model of the whole data by {ends} times as much as gradient descent in steps of 1/λ_max; a "
        f"tenth of the damping multiplies that by {number(moves[0])}, ten times the damping by {number(moves[-1])}."
    )


def _agree(rows: pd.DataFrame) -> bool:
    """Whether the means of all of several arms are one number to four digits, as where the problem is quadratic."""
    return _one_number(_centres(rows).tolist())


def _centres(rows: pd.DataFrame) -> np.ndarray:
    """Where each arm lies, on the scale of the measure."""
    return np.array([centre_of(row).value for _, row in rows.iterrows()])


def _sorted(rows: pd.DataFrame, *, largest: bool) -> pd.DataFrame:
    middles = _centres(rows)
    return rows.iloc[np.argsort(-middles if largest else middles, kind="stable")]


def _one_number(values: Sequence[float]) -> bool:
    """Whether several numbers are one to the digits shown."""
    return len(values) > 1 and float(np.ptp(values)) <= SAME * float(np.abs(values).max())


def _rows_of(means: pd.DataFrame, measure: str) -> pd.DataFrame:
    return means[means["measure"] == measure].dropna(subset=["mean"])


def _pair(pairs: pd.DataFrame, measure: str, first: Any, second: Any) -> Any:
    """The row of two groups, whichever is named first; None where they were not compared."""
    rows = pairs[pairs["measure"] == measure]
    either = rows[((rows["a"] == first) & (rows["b"] == second)) | ((rows["a"] == second) & (rows["b"] == first))]
    return None if either.empty else either.iloc[0]
