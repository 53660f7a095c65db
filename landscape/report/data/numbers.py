"""Numbers as a page carries them: few digits, nothing that JSON has no word for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from landscape.store.reading import BOUND, LOWER_BOUND, STANDARD_ERROR, Reading

#: Of a curve or a surface; a single number keeps more.
DIGITS = 4
_KINDS = {BOUND: "b", STANDARD_ERROR: "s", LOWER_BOUND: "l"}


def short(value: Any, digits: int = 7) -> float | int | None:
    """A finite number with so many digits, else None.

    >>> short(0.123456789, 4), short(float("nan")), short(600)
    (0.1235, None, 600)
    """
    if value is None or not math.isfinite(value):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    found = float(f"{float(value):.{digits}g}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found


def listed(values: Any, digits: int = DIGITS) -> list[float | int | None]:
    """An array of any shape, row by row.

    >>> listed(np.array([[0.123456, np.inf], [2.0, 3.0]]))
    [0.1235, None, 2, 3]
    """
    return [short(float(value), digits) for value in np.asarray(values, dtype=float).ravel()]


def reading_entry(reading: Reading) -> list[Any]:
    """``[value, error, what it is]``: ``b`` a bound, ``s`` one standard error, ``l`` a lower bound; ``!`` where it did
    not converge, ``w`` where it is the word of the training script. What is empty at the end is left out.

    >>> reading_entry(Reading(0.25, 0.001, error_kind="bound")), reading_entry(Reading(2.0))
    ([0.25, 0.001, 'b'], [2])
    """
    said = _KINDS.get(reading.error_kind or "", "")
    said += ("" if reading.converged else "!") + ("w" if reading.saved else "")
    entry: list[Any] = [short(reading.value), short(reading.error, 3), said]
    while len(entry) > 1 and not entry[-1]:
        entry.pop()
    return entry
