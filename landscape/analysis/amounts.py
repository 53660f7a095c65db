"""Accuracies and times as a person writes them: ``5%`` and ``0.05``, ``90s``, ``1h30m`` and ``300``."""

from __future__ import annotations

import math

from landscape.checks import check_count, plain_number, seconds_in
from landscape.errors import UsageError

_UNITS = {"h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}


def accuracy_of(value: object, name: str = "accuracy") -> float:
    """A relative accuracy as a share; ``name`` is what a message calls it.

    >>> accuracy_of("5%"), accuracy_of("2.5 %"), accuracy_of(0.05), accuracy_of("0.01")
    (0.05, 0.025, 0.05, 0.01)
    >>> accuracy_of(5)
    Traceback (most recent call last):
    landscape.errors.UsageError: accuracy=5 must lie between 0 and 1, such as 0.05 or '5%'
    """
    refused = UsageError(f"{name}={value!r} must lie between 0 and 1, such as 0.05 or '5%'")
    number = value
    if isinstance(value, str):
        text, percent = value.strip().removesuffix("%"), value.strip().endswith("%")
        try:
            number = float(text) / (100 if percent else 1)
        except ValueError:
            raise refused from None
    found = _number(number)
    if found is None or not 0 < found < 1:
        raise refused
    return found


def seconds_of(value: object) -> float:
    """A time in seconds.

    >>> seconds_of("5m"), seconds_of("90s"), seconds_of("1h30m"), seconds_of(300), seconds_of("300")
    (300.0, 90.0, 5400.0, 300.0, 300.0)
    >>> seconds_of("soon")
    Traceback (most recent call last):
    landscape.errors.UsageError: time='soon' must be a positive number of seconds, or such as '5m' or '1h30m'
    """
    refused = UsageError(f"time={value!r} must be a positive number of seconds, or such as '5m' or '1h30m'")
    number = seconds_in(value.strip().lower(), _UNITS) if isinstance(value, str) else value
    found = _number(number)
    if found is None or not found > 0:
        raise refused
    return found


#: In place of a number of checkpoints.
ALL = "all"


def last_of(value: object) -> int | str:
    """How many of the last checkpoints: a whole number, or ``"all"``.

    >>> last_of(5), last_of("20"), last_of(" All ")
    (5, 20, 'all')
    >>> last_of("none")
    Traceback (most recent call last):
    landscape.errors.UsageError: last='none' must be a whole number of at least 1, or 'all'
    """
    word = value.strip().lower() if isinstance(value, str) else ""
    if word == ALL:
        return ALL
    number = int(word) if word.isascii() and word.isdigit() and len(word) < 16 else value
    try:
        return check_count("last", number)
    except UsageError:
        raise UsageError(f"last={value!r} must be a whole number of at least 1, or {ALL!r}") from None


def time_text(seconds: float) -> str:
    """About how long, as a person says it.

    >>> time_text(0.4), time_text(42), time_text(170), time_text(5400)
    ('1 s', '42 s', '3 min', '1.5 h')
    """
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def percent_text(share: float) -> str:
    """A share in per cent, to two digits.

    >>> percent_text(0.05), percent_text(0.0213), percent_text(0.0004)
    ('5 %', '2.1 %', '0.04 %')
    """
    return f"{float(f'{100 * share:.2g}'):g} %"


def _number(value: object) -> float | None:
    """A finite number that is none of truth values."""
    if isinstance(value, bool):
        return None
    try:
        found = float(plain_number(value))
    except (TypeError, ValueError, UsageError):
        return None
    return found if math.isfinite(found) else None


#: Pairs of runs by what they have in common, in one word.
PAIRS = ("both", "groups", "seeds")


def named_pairs(value: str) -> list[tuple[str, str]] | None:
    """Pairs of globs of names of runs; None where it is one of the words.

    >>> named_pairs("sgd-s0:adam-s0, sgd-*:sgd-*"), named_pairs("both")
    ([('sgd-s0', 'adam-s0'), ('sgd-*', 'sgd-*')], None)
    >>> named_pairs("sgd-s0")
    Traceback (most recent call last):
    landscape.errors.UsageError: pairs='sgd-s0' must be 'both', 'groups', 'seeds', or names such as 'sgd-s0:adam-*'
    """
    if value in PAIRS:
        return None
    found = [tuple(part.strip() for part in pair.split(":")) for pair in value.split(",")] if value else []
    if not found or any(len(pair) != 2 or not all(pair) for pair in found):
        raise UsageError(f"pairs={value!r} must be 'both', 'groups', 'seeds', or names such as 'sgd-s0:adam-*'")
    return [(a, b) for a, b in found]
