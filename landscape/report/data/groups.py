"""Where groups lie: the centres and intervals that the tables print, at one training loss first, then at the ends."""

from __future__ import annotations

from typing import Any

from landscape import comparison
from landscape.comparison import Centre, EqualLoss
from landscape.escaping.control_characters import visible
from landscape.report.agreement import runs_at
from landscape.report.answer import labels_of
from landscape.report.data.numbers import short
from landscape.rounding import format_value
from landscape.store import Results
from landscape.store.catalogue import IN_HEADLINE, IN_SUMMARY, MEASURES

#: In this order, where they are there.
SHOWN = tuple(dict.fromkeys(("lambda_max", "trace", *IN_HEADLINE, *IN_SUMMARY, "train_loss")))


def interval_blocks(results: Results, matched: EqualLoss) -> list[dict[str, Any]]:
    """A block for each place where groups can be read; empty where no run has a label.

    Each has ``title``, ``place`` (``"equal"`` or ``"ends"``), ``level``, and of each measure the groups with their
    centre, its interval and the text of the tables, and the values of the runs behind it.
    """
    if not labels_of(results):
        return []
    blocks = []
    if matched.levels:
        title = f"at a training loss of {format_value(matched.level, digits=3)}"
        blocks.append({"place": "equal", "title": title, "level": short(matched.level), "measures": _matched(matched)})
    if not matched.by_match:
        blocks.append({"place": "ends", "title": "where training stopped", "level": None, "measures": _ends(results)})
    return [block for block in blocks if block["measures"]]


def _matched(found: EqualLoss) -> dict[str, Any]:
    rows = runs_at(found)
    shown = {}
    for measure in SHOWN:
        if centres := found.centres(measure):
            mine = rows[rows["measure"] == measure]
            values = {
                visible(str(name)): short(float(value)) for name, value in zip(mine["run"], mine["value"], strict=True)
            }
            shown[measure] = _measure(measure, centres, values)
    return shown


def _ends(results: Results) -> dict[str, Any]:
    frame = comparison.compare(results, by="label")
    shown = {}
    for measure in SHOWN:
        if centres := comparison.centres_of(frame, measure):
            shown[measure] = _measure(measure, centres, None)
    return shown


def _measure(measure: str, centres: dict[Any, Centre], runs: dict[str, Any] | None) -> dict[str, Any]:
    """``runs`` is None where the values are those of the last checkpoints."""
    return {
        "scale": next(iter(centres.values())).scale,
        "groups": {
            visible(str(group)): [short(centre.value), short(centre.low), short(centre.high), str(centre)]
            for group, centre in centres.items()
        },
        "runs": runs,
    }


def measure_entries(keys: set[str]) -> dict[str, Any]:
    """What is said of each measure that any run has."""
    return {
        key: {
            "title": measure.panel_title, "words": measure.words, "symbol": measure.symbol,
            "unit": "%" if measure.is_share else measure.unit, "positive": measure.is_positive,
            "share": measure.is_share, "bound": measure.is_bound, "flatness": measure.is_flatness,
        }
        for key, measure in MEASURES.items()
        if key in keys
    }  # fmt: skip
