"""The whole JSON of a page, and how it stands in it."""

from __future__ import annotations

import json
from typing import Any

from markupsafe import Markup

from landscape.comparison import EqualLoss
from landscape.plots.arrays import group_word
from landscape.report.data.groups import interval_blocks, measure_entries
from landscape.report.data.pairs import pair_entries
from landscape.report.data.runs import group_entries, run_entries
from landscape.store import Results


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
    places = {run["name"]: index for index, run in enumerate(runs)}
    pairs, pair_measures = pair_entries(results.pairs, measured, places)
    counts = [run.info.get("num_parameters") for run in measured]
    return {
        "word": group_word(measured) if measured else "optimizer",
        "groups": group_entries(measured),
        "runs": runs,
        "measures": measure_entries(keys),
        "intervals": interval_blocks(results, matched),
        "axis": None if axis is None else axis.entry(),
        "pairs": pairs,
        "pairMeasures": pair_measures,
        "parameters": [n for n in counts if isinstance(n, int)],
    }


def script_json(data: Any) -> Markup:
    r"""JSON that may stand in a script element: no name in it can close that element, or open a comment.

    >>> print(script_json({"name": "</script><!--"}))
    {"name":"\u003c/script\u003e\u003c!--"}
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)
