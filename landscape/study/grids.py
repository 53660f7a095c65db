"""What a tuning tries besides learning rates: settings and their values, as JSON would give them back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from landscape.checks import check_positive, plain_number
from landscape.errors import UsageError

#: How an arm is trained, not what it is, on what, for how long, or from which seed.
TUNABLE = (
    "batch_size", "options", "schedule", "schedule_options", "order", "order_options", "batch_schedule",
    "batch_schedule_options",
)  # fmt: skip
RATE = "lr"
Grids = Mapping[str, Sequence[Any]]


def checked_grids(owner: str, grids: Grids, *, rate: bool = False) -> dict[str, tuple[Any, ...]]:
    """Setting → its values, each once, as they come back from JSON.

    Parameters
    ----------
    rate : bool
        Whether ``"lr"`` may be among the settings, with factors for values.

    Raises
    ------
    UsageError
        If a setting cannot be tuned, has no values or one of them twice, or one that is no JSON.
    """
    names = (*((RATE,) if rate else ()), *TUNABLE)
    found: dict[str, tuple[Any, ...]] = {}
    for name, values in grids.items():
        if name not in names:
            raise UsageError(f"{owner}: {name!r} cannot be tuned; there are {', '.join(names)}")
        if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) or not values:
            raise UsageError(f"{owner}: {name}={values!r} must be values to try, at least one")
        try:
            texts = [json.dumps(value, sort_keys=True, default=plain_number) for value in values]
        except TypeError as error:
            raise UsageError(f"{owner}: {name}={values!r} must be plain values, to be stored ({error})") from error
        if len(set(texts)) < len(texts):
            raise UsageError(f"{owner}: {name}={values!r} has a value twice")
        found[name] = tuple(json.loads(text) for text in texts)
        if name == RATE:
            for factor in found[name]:
                check_positive(f"{owner}: a factor of lr", factor)
        if name.endswith("options") and not all(isinstance(value, dict) for value in found[name]):
            raise UsageError(f"{owner}: {name}={values!r} must be mappings such as {{'momentum': 0.9}}")
    return found


def with_value(settings: Mapping[str, Any], name: str, value: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with another value; options go beside those that are there, or else beside the arm's ``own``."""
    if name.endswith("options"):
        value = {**settings.get(name, own.get(name) or {}), **value}
    return {**settings, name: value}


def is_end(values: Sequence[Any], chosen: Any) -> bool:
    """Whether ``chosen`` is the smallest or largest of several numbers; values that have no order have no ends.

    >>> is_end([16, 32, 128], 16), is_end([16, 32, 128], 32), is_end(["cosine", "constant"], "cosine")
    (True, False, False)
    >>> is_end([{"lowest": 0}, {"lowest": 1}, {"lowest": 2}], {"c": 0.5, "lowest": 2})
    True
    """
    if all(isinstance(value, Mapping) for value in values):
        if len({tuple(value) for value in values}) > 1 or len(values[0]) != 1:
            return False
        (name,) = values[0]
        values, chosen = [value[name] for value in values], chosen[name]
    ordered = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)
    return ordered and len(values) > 1 and chosen in (min(values), max(values))


def words_of(name: str, value: Any) -> str:
    """``batch size 32``, or ``betas (0.9, 0.95)`` for options."""
    if isinstance(value, Mapping):
        return ", ".join(words_of(key, part) for key, part in value.items())
    return f"{name.replace('_', ' ')} {_value_words(value)}"


def grid_words(name: str, values: Sequence[Any]) -> str:
    """A setting and all its values.

    >>> grid_words("batch_size", [16, 32])
    'batch size 16, 32'
    >>> grid_words("options", [{"betas": [0.9, 0.95]}, {"betas": [0.9, 0.999]}])
    'betas (0.9, 0.95), (0.9, 0.999)'
    """
    keys = {tuple(value) if isinstance(value, Mapping) else None for value in values}
    if keys == {None}:
        return f"{name.replace('_', ' ')} {', '.join(map(_value_words, values))}"
    if len(keys) == 1 and len(values[0]) == 1:
        (key,) = values[0]
        return grid_words(key, [value[key] for value in values])
    return "; ".join(words_of(name, value) for value in values)


def name_of_grid(name: str, values: Sequence[Any]) -> str:
    """What is tried, in words: ``batch size``, or the one option that differs."""
    names = [key for value in values for key in (value if isinstance(value, Mapping) else (name,))]
    return ", ".join(dict.fromkeys(names)).replace("_", " ")


def _value_words(value: Any) -> str:
    return f"({', '.join(map(_value_words, value))})" if isinstance(value, (list, tuple)) else str(value)
