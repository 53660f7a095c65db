"""What JSON that comes from outside must look like where tables, figures and comparisons count on it.

A value of the wrong kind counts as missing: one odd number must not keep a whole folder from being read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that a float can hold; NaN and infinities are, a bool is not.

    >>> [is_number(v) for v in (1, 0.5, float("nan"), True, "1", None, 10**400)]
    [True, True, True, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return isinstance(value, float) or math.log2(abs(value) + 1) < 1023


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 63


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(part is None or is_number(part) for part in value)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, str) for part in value)


def _are_mappings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) for part in value)


def _each(check: Check, *names: str) -> dict[str, Check]:
    return dict.fromkeys(names, check)


METRICS = {
    **_each(is_number, "train_loss", "test_loss", "train_accuracy", "test_accuracy", "grad_norm", "param_norm"),
    **_each(is_number, "distance", "epoch", "lr"),
    **_each(_are_numbers, "accuracy_per_class"),
}
CONFIG = {**_each(_is_text, "label", "optimizer"), **_each(_is_whole, "seed"), **_each(is_number, "lr")}
#: Of a results file as a whole.
RESULTS = {
    **_each(_is_mapping, "plan", "versions"),
    **_each(_is_text, "plan_name", "created", "command", "platform"),
    **_each(_are_mappings, "skipped"),
    **_each(is_number, "seconds", "threads"),
}
#: Of a run in a results file.
RUN = {
    **CONFIG,
    **_each(_is_mapping, "config"),
    **_each(_is_text, "problem", "fingerprint", "loss", "mode", "dtype"),
    **_each(_is_whole, "num_parameters", "num_examples", "of_examples", "num_classes"),
    **_each(_are_texts, "frozen", "unused", "linear"),
}
#: Of a record.
PROVENANCE = {
    **_each(_is_mapping, "key"),
    **_each(is_number, "seconds", "matvecs"),
    **_each(_is_truth, "converged"),
}


def usable(values: Mapping[str, Any], kinds: Mapping[str, Check]) -> dict[str, Any]:
    """The values without those that are not what their name asks for. None may stand anywhere.

    >>> usable({"train_loss": "text", "test_loss": 0.5, "accuracy_per_class": {}, "of my own": "text"}, METRICS)
    {'test_loss': 0.5, 'of my own': 'text'}
    """
    return {key: value for key, value in values.items() if value is None or key not in kinds or kinds[key](value)}
