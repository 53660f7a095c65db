"""What JSON that comes from outside must look like, where figures and tables count with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

#: Metrics that tables, figures and comparisons take for numbers.
NUMBERS = (
    "train_loss", "test_loss", "train_accuracy", "test_accuracy", "grad_norm", "param_norm", "distance", "epoch", "lr",
)  # fmt: skip
#: Metrics that are a list of numbers, or of None where there is none.
LISTS = ("accuracy_per_class",)


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a float can hold; NaN and infinities are, a bool is not.

    >>> [is_number(v) for v in (1, 0.5, float("nan"), True, "1", None, 10**400)]
    [True, True, True, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or math.log2(abs(value) + 1) < 1023


def usable_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics without those that are no numbers where numbers belong: they count as missing.

    >>> usable_metrics({"train_loss": "text", "test_loss": 0.5, "accuracy_per_class": {}, "of my own": "text"})
    {'test_loss': 0.5, 'of my own': 'text'}
    """
    return {key: value for key, value in metrics.items() if _fits(key, value)}


def _fits(key: str, value: Any) -> bool:
    if key in NUMBERS:
        return is_number(value)
    if key in LISTS:
        return isinstance(value, list) and all(part is None or is_number(part) for part in value)
    return True
