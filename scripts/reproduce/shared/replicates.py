"""What several seeds say together: means with intervals, and powers with which errors fall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.statistics import mean_interval


def with_interval(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """``mean [low, high]``, the 95 % interval of Student's t over replicates."""
    mean, low, high, _ = mean_interval(list(values))
    return f"{mean:.{digits}g} [{low:.{digits}g}, {high:.{digits}g}]"


def is_within(values: Sequence[float] | np.ndarray, claimed: float, margin: float) -> bool:
    """Whether the 95 % interval of the mean lies within the margin around what is claimed: so much says "equal"."""
    _, low, high, _ = mean_interval(list(values))
    return bool(abs(low - claimed) <= margin and abs(high - claimed) <= margin)


def with_range(values: Sequence[float] | np.ndarray, digits: int = 3) -> str:
    """``lowest to highest``, or the number where both print alike."""
    low, high = f"{np.min(values):.{digits}g}", f"{np.max(values):.{digits}g}"
    return low if low == high else f"{low} to {high}"


def power(x: Sequence[float] | np.ndarray, y: np.ndarray) -> float:
    """The exponent p of ``y ∝ xᵖ``, by least squares on logarithms."""
    return float(np.polyfit(np.log(np.asarray(x, dtype=float)), np.log(y), 1)[0])


def rate(steps: np.ndarray, errors: np.ndarray) -> float:
    """The factor per step of ``error ∝ factorˢᵗᵉᵖ``, by least squares on the logarithms of the errors."""
    return float(np.exp(np.polyfit(steps, np.log(errors), 1)[0]))
