"""One number as it is read from a record: its value, its error and of which kind that is, its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.results import Estimate, Sharpness
from landscape.rounding import format_measured

#: The kinds of error: the truth lies within value ± error; one standard error of a mean over probes; the truth is at
#: least the value.
BOUND, STANDARD_ERROR, LOWER_BOUND = "bound", "standard error", "lower bound"


@dataclass(frozen=True, repr=False)
class Reading:
    """One number with its error, None where it has none, whether its computation converged, and whose word it is.

    Attributes
    ----------
    error_kind : {"bound", "standard error", "lower bound", None}
        What ``error`` is. A lower bound has none: it says that the truth is at least ``value``.
    low, high : float or None
        The 95 % interval: of a bound ``value ± error``, of a lower bound up to infinity; None where nothing is known.
    saved : bool
        It is the word of the training script, not measured.
    """

    value: float
    error: float | None = None
    converged: bool = True
    saved: bool = False
    error_kind: str | None = None
    low: float | None = None
    high: float | None = None

    @property
    def reach(self) -> float | None:
        """How far the 95 % interval goes from the value towards zero, where there is an error."""
        if self.error is None or self.low is None or self.high is None:
            return None
        return self.value - self.low if self.value >= 0 else self.high - self.value

    def __float__(self) -> float:
        return float(self.value)

    def __str__(self) -> str:
        mark = "≥ " if self.error_kind == LOWER_BOUND else ""
        return f"{mark}{format_measured(self.value, self.error)}{'' if self.converged else '   NOT CONVERGED'}"

    __repr__ = __str__


def reading_of(found: Estimate | Sharpness, *, converged: bool) -> Reading:
    """What an estimate or a sharpness says, with the interval that belongs to its kind of error."""
    value, error = float(found.value), None if found.error is None else float(found.error)
    if isinstance(found, Sharpness) and found.kind == "lower bound":
        return Reading(value, error, converged, error_kind=LOWER_BOUND, low=value, high=math.inf)
    if error is None:
        return Reading(value, converged=converged)
    estimate = found if isinstance(found, Estimate) else as_estimate(found)
    low, high = estimate.interval(0.95)
    kind = BOUND if estimate.bound is not None else STANDARD_ERROR
    return Reading(value, error, converged, error_kind=kind, low=float(low), high=float(high))


def as_estimate(found: Sharpness) -> Estimate:
    """A sharpness as an estimate: its error is that of a mean where there are samples to average, else a bound."""
    if found.samples.size > 1:
        return Estimate(found.value, sem=found.error, samples=found.samples, method=found.measure)
    return Estimate(found.value, bound=found.error, method=found.measure)
