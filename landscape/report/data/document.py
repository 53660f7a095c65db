"""The whole JSON of a page, and how it stands in it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from markupsafe import Markup

from landscape.comparison import EqualLoss
from landscape.escaping.control_characters import visible
from landscape.plots.arrays import group_word
from landscape.report.data.groups import interval_blocks, measure_entries
from landscape.report.data.numbers import listed, short
from landscape.report.data.runs import group_entries, run_entries
from landscape.store import PairResult, Results


def page_data(results: Results, matched: EqualLoss) -> dict[str, Any]:
    """Everything that the figures of the page draw.

    Parameters
    ----------
    results : Results
    matched : EqualLoss
        What :func:`landscape.comparison.at_equal_loss` says of them.
    """
    measured = [run for run in results.runs if run.checkpoints]
    runs, axis = run_entries(measured)
    keys = {key for run in runs for checkpoint in run["checkpoints"] for key in checkpoint["values"]}
    names = {run["name"]: index for index, run in enumerate(runs)}
    counts = [run.info.get("num_parameters") for run in measured]
    return {
        "word": group_word(measured) if measured else "optimizer",
        "groups": group_entries(measured),
        "runs": runs,
        "measures": measure_entries(keys),
        "intervals": interval_blocks(results, matched),
        "axis": None if axis is None else axis.entry(),
        "pairs": [pair for found in results.pairs if (pair := _pair(found, names))],
        "parameters": [n for n in counts if isinstance(n, int)],
    }


def _pair(pair: PairResult, names: dict[str, int]) -> dict[str, Any] | None:
    """The line between two runs that are on the page; None where one is not, or nothing of it is finite."""
    a, b = (names.get(visible(name)) for name in (pair.run_a, pair.run_b))
    line = pair.record
    if a is None or b is None or not np.isfinite(line.loss).any():
        return None
    barrier = line.barrier if line.kind == "interpolation" and np.isfinite(line.loss).all() else None
    return {
        "a": a, "b": b, "t": listed(line.t, 5), "loss": listed(line.loss), "distance": short(line.step_norm, 4),
        "barrier": short(barrier, 4), "error": short(line.error, 2),
    }  # fmt: skip


def script_json(data: Any) -> Markup:
    r"""JSON that may stand in a script element: no name in it can close that element, or open a comment.

    >>> print(script_json({"name": "</script><!--"}))
    {"name":"\u003c/script\u003e\u003c!--"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
