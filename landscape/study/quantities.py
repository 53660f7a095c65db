"""Numbers of a study's runs that no catalogue has: what its problem measures by itself, and what training cost."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from landscape.comparison import LINEAR, LOG, centre
from landscape.comparison.contrasts import COLUMNS, decided
from landscape.escaping.frames import frame_of
from landscape.escaping.latex import latex_heading, latex_number, latex_table, latex_text
from landscape.plots.drawing import join_words
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.catalogue import MEASURES
from landscape.store.rows import final_checkpoint
from landscape.store.tidy import own_measures, readings
from landscape.study.design import Study
from landscape.study.numbers import verdicts

LEVEL = 0.95
#: A mean over seeds that is as near to a closed form, relative to it, agrees with it.
NEAR = 0.01


@dataclass(frozen=True)
class Quantity:
    """One number of every run.

    Attributes
    ----------
    words : str
        How a sentence calls it.
    values : mapping
        Arm → its values by seed; of a run that has none there is no entry.
    runs : mapping
        Arm → how many runs it has.
    known : mapping
        Arm → what it is in closed form.
    is_told : bool
        Whether sentences and differences are on it; else it stands in tables alone.
    heading : str
        Above its column; left out, the words.
    is_share : bool
        In per cent, and so on no scale of factors.
    """

    words: str
    values: Mapping[str, Mapping[int, float]]
    runs: Mapping[str, int]
    known: Mapping[str, float] = field(default_factory=dict)
    is_told: bool = True
    heading: str = ""
    is_share: bool = False

    def complete(self, labels: Sequence[str]) -> dict[str, Mapping[int, float]]:
        """Of these arms the ones all of whose runs have it."""
        found = {label: self.values.get(label, {}) for label in labels}
        return {label: own for label, own in found.items() if own and len(own) == self.runs[label]}

    def scale(self, labels: Sequence[str]) -> str:
        """That of factors where all values of these arms are above zero."""
        values = [value for label in labels for value in self.values.get(label, {}).values()]
        return LOG if values and min(values) > 0 and not self.is_share else LINEAR

    def text(self, label: str, scale: str) -> str:
        """Centre and interval over seeds; how many runs have it where not all do; a dash where it is no question."""
        values = list(self.values.get(label, {}).values())
        if label not in self.runs:
            return "—"
        if len(values) < self.runs[label]:
            return f"{len(values)} of {self.runs[label]}"
        middle = centre(values, scale, LEVEL)
        narrow = middle.high - middle.low <= 1e-4 * abs(middle.value)
        return format_value(middle.value, digits=3) if narrow else str(middle)


def measured(study: Study, found: Results) -> list[Quantity]:
    """What the problem measures by itself at the ends of training, and what else it knows in closed form."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    runs: dict[str, int] = {}
    known = {arm.label: dict(study.problem_of(arm).known) for arm in study.arms}
    named = {_name(key): key for key in MEASURES if key in study.only or any(key in own for own in known.values())}
    for run in found.runs:
        last = final_checkpoint(run)
        if last is None or run.seed is None or run.label not in known:
            continue
        runs[run.label] = runs.get(run.label, 0) + 1
        there = readings(last)
        own = own_measures(last) | {
            words: _in_unit(key, there[key].value) for words, key in named.items() if key in there
        }
        for name, value in own.items():
            values.setdefault(_plain(name), {}).setdefault(run.label, {})[run.seed] = value
    shares = {words for words, key in named.items() if MEASURES[key].is_share}
    return [
        Quantity(name, by_label, runs, _known_as(named.get(name, name), known), is_share=name in shares)
        for name, by_label in values.items()
    ]


def _name(key: str) -> str:
    """Its words with its symbol; of a share with its unit."""
    measure = MEASURES[key]
    if measure.is_share:
        return f"{measure.words} in %"
    return measure.words if measure.symbol in measure.words else f"{measure.words} {measure.symbol}"


def _in_unit(key: str, value: float) -> float:
    return 100 * value if MEASURES[key].is_share else value


def _plain(name: str) -> str:
    """Without the split it is of, which is that of training wherever a problem says nothing of the test data."""
    return name.removeprefix("train: ")


def _known_as(key: str, known: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {label: own[key] for label, own in known.items() if key in own}


def differences(study: Study, quantities: Sequence[Quantity]) -> pd.DataFrame:
    """Every two arms that are compared, in the columns of :func:`landscape.comparison.contrasts`."""
    rows = [
        row
        for quantity in quantities if quantity.is_told
        for name, labels in compared(study)
        if len(there := quantity.complete(labels)) > 1
        for row in decided(quantity.words, name, _dicts(there), quantity.scale(list(there)), LEVEL)
    ]  # fmt: skip
    return frame_of(rows, COLUMNS)


def _dicts(values: Mapping[str, Mapping[int, float]]) -> dict[str, dict[int, float]]:
    return {label: dict(own) for label, own in values.items()}


def compared(study: Study) -> list[tuple[str, list[str]]]:
    """Name → labels of the arms that are compared with each other; one set without a name where all are."""
    if not study.within:
        return [("", [arm.label for arm in study.arms])]
    return [(name, [arm.label for arm in arms]) for name, arms in study.strata().items()]


def told(study: Study, quantities: Sequence[Quantity]) -> list[str]:
    """A sentence for each quantity, what the seeds decide, and what closed forms say to it."""
    chosen = [quantity for quantity in quantities if quantity.is_told]
    said = [sentence for quantity in chosen if (sentence := _told_of(quantity, compared(study)))]
    decided_ = [(q.words, rows) for q in chosen if len(rows := differences(study, [q]))]
    if decided_:
        counts = "; ".join(f"in {words} {verdicts(rows)}" for words, rows in decided_)
        said.append(f"of the comparisons of two arms: {counts}.")
    closed = [text for quantity in quantities if (text := _held(quantity))]
    within = f"as closed forms have it for the minimum, within {100 * NEAR:g} %"
    return [*said, *([f"{within}: {'; '.join(closed)}."] if closed else [])]


def _told_of(quantity: Quantity, sets: Sequence[tuple[str, Sequence[str]]]) -> str:
    """All arms of the one set there is; of many arms in several sets those at the ends, for the table has all."""
    if len(sets) == 1 and not sets[0][0]:
        listed = _listed(quantity, sets[0][1], len(sets[0][1]))
        return f"{quantity.words}: {listed}." if listed else ""
    told_ = [(name, listed) for name, labels in sets if (listed := _listed(quantity, labels, 3))]
    among = "; ".join(f"among {name}: {listed}" for name, listed in told_)
    return f"set by set, {quantity.words}. {among[0].upper()}{among[1:]}." if told_ else ""


def _listed(quantity: Quantity, labels: Sequence[str], most: int) -> str:
    """The arms of a set, least first, and those in which not every run has the quantity."""
    there = quantity.complete(labels)
    scale = quantity.scale([*there])
    order = sorted(there, key=lambda label: centre([*there[label].values()], scale).value)
    listed = [f"{label} {quantity.text(label, scale)}" for label in order]
    lacking = [label for label in labels if label not in there and label in quantity.runs]
    counts = ", ".join(
        f"in {quantity.text(label, scale)} runs of {label}" if quantity.values.get(label) else f"in none of {label}"
        for label in lacking
    )
    if not listed:
        return ""
    shown = ", ".join(listed) if len(listed) <= most else f"from {listed[0]} to {listed[-1]}"
    return f"{shown}; found {counts}" if counts else shown


def _held(quantity: Quantity) -> str:
    """In how many arms the mean over seeds is what is known, within ``NEAR``, and what it is in the others."""
    means = {label: float(np.mean([*own.values()])) for label, own in quantity.complete([*quantity.known]).items()}
    if not means:
        return ""
    largest = max(abs(quantity.known[label]) for label in means) or 1.0
    off = {
        label: f"{label} ({format_value(mean, digits=3)} where {format_value(known, digits=3)} is known)"
        for label, mean in means.items()
        if abs(mean - (known := quantity.known[label])) > NEAR * (abs(known) or largest)
    }
    rest = f", not in {join_words([*off.values()])}" if off else ""
    return f"the {quantity.words} in {len(means) - len(off)} of {len(means)} arms{rest}"


def table(study: Study, quantities: Sequence[Quantity]) -> str:
    """Arms below each other; beside what was measured, what is known of it."""
    columns = list(_columns(study, quantities))
    body = ([latex_text(arm.label), *(cells[arm.label] for _, cells in columns)] for arm in study.arms)
    return latex_table(["", *(latex_heading(title) for title, _ in columns)], body)


def _columns(study: Study, quantities: Sequence[Quantity]) -> Iterator[tuple[str, dict[str, str]]]:
    labels = [arm.label for arm in study.arms]
    scales = {label: name for name, members in compared(study) for label in members}
    members = dict(compared(study))
    for quantity in quantities:
        yield (
            quantity.words,
            {
                label: _cell(quantity.text(label, quantity.scale([*quantity.complete(members[scales[label]])])))
                for label in labels
            },
        )
        if quantity.known:
            known = {label: quantity.known.get(label, math.nan) for label in labels}
            yield (
                "closed form",
                {
                    label: "--" if math.isnan(value) else latex_number(format_value(value + 0.0, digits=3))
                    for label, value in known.items()
                },
            )


def _cell(text: str) -> str:
    return latex_text(text) if " of " in text else latex_number(text)


def caption(quantities: Sequence[Quantity]) -> str:
    """What stands in the table."""
    known = " Beside them what is known in closed form of the minimum." if any(q.known for q in quantities) else ""
    missing = " k of n: only k of the n runs came to it." if any(
        len(q.values.get(label, {})) < count for q in quantities for label, count in q.runs.items()
    ) else ""  # fmt: skip
    words = join_words([q.words for q in quantities if q.is_told])
    return (
        f"{words[0].upper()}{words[1:]}: means over seeds with 95 % intervals, ×/÷ of geometric means.{known}{missing}"
    )
