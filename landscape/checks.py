"""Arguments checked once for all functions: the same mistake gets the same sentence wherever it is made.

Each check gives the value back as a plain Python number, so that what is stored does not depend on who counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from numbers import Integral, Real

from landscape.errors import UsageError


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuse a value outside a fixed set of choices, naming the set."""
    allowed = list(choices)
    if value not in allowed:
        raise UsageError(f"{name}={value!r} is not one of {', '.join(repr(c) for c in allowed)}")


def check_count(name: str, value: object, *, least: int = 1, hint: str = "") -> int:
    """A whole number of at least ``least``.

    >>> check_count("num_probes", 2.5)
    Traceback (most recent call last):
    landscape.errors.UsageError: num_probes=2.5 must be a whole number of at least 1
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UsageError(f"{name}={value!r} must be a whole number of at least {least}{hint and f': {hint}'}")
    return int(value)


def check_seed(seed: object, *, name: str = "seed") -> int:
    """A seed. None is refused: a number that cannot be drawn again is not a result."""
    return check_count(name, seed, least=0, hint="results store it, to be repeatable")


def check_share(name: str, value: object, *, hint: str = "0.95, not 95") -> float:
    """A number strictly between 0 and 1, such as a level, a confidence or a relative tolerance.

    >>> check_share("level", 95)
    Traceback (most recent call last):
    landscape.errors.UsageError: level=95 must lie between 0 and 1: 0.95, not 95
    """
    number = _number(value)
    if not 0 < number < 1:
        raise UsageError(f"{name}={value!r} must lie between 0 and 1: {hint}")
    return number


def check_positive(name: str, value: object, *, hint: str = "") -> float:
    """A finite number above 0, such as a radius, a bandwidth or a learning rate."""
    number = _number(value)
    if not 0 < number < math.inf:
        raise UsageError(f"{name}={value!r} must be a positive number{hint and f': {hint}'}")
    return number


def check_not_negative(name: str, value: object, *, hint: str = "") -> float:
    """A finite number of at least 0, such as the noise of made-up data."""
    number = _number(value)
    if not 0 <= number < math.inf:
        raise UsageError(f"{name}={value!r} must be a number of at least 0{hint and f': {hint}'}")
    return number


def check_finite(name: str, value: object) -> float:
    """A finite number of either sign, such as a coordinate or an angle."""
    number = _number(value)
    if not math.isfinite(number):
        raise UsageError(f"{name}={value!r} must be a finite number")
    return number


def seconds_in(text: str, units: Mapping[str, float]) -> float | None:
    """Seconds, as of ``90`` or ``1h30m`` with the seconds of each unit; None where it is no positive time.

    >>> seconds_in("90", {"m": 60.0}), seconds_in("1 h 30m", {"h": 3600.0, "m": 60.0}), seconds_in("soon", {"m": 60.0})
    (90.0, 5400.0, None)
    """
    longest_first = sorted(units, key=len, reverse=True)
    piece = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(longest_first)})")
    pieces = piece.findall(text)
    if pieces and not piece.sub("", text).strip():
        found = sum(float(count) * units[unit] for count, unit in pieces)
    else:
        try:
            found = float(text)
        except ValueError:
            return None
    return found if 0 < found < math.inf else None


def plain_number(value: object) -> int | float:
    """A number of NumPy's as one of Python's: ``json.dumps(…, default=plain_number)``."""
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value)
    raise TypeError(f"{type(value).__name__} is no number")


def _number(value: object) -> float:
    """NaN where it is none, which lies in no range."""
    return float(value) if isinstance(value, Real) and not isinstance(value, bool) else math.nan
