"""How a comparison is judged: by stated errors, else by causes that are recomputed, else it is a disagreement."""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Callable, Sequence

import numpy as np
from scipy import special

from landscape.errors import LandscapeError, in_one_line
from landscape.results.crosscheck import AGREES, DISAGREES, EXPLAINED, NOT_RUN, WitnessRow

#: A named cause: computes whether it accounts for the difference, and if so says it in one sentence.
Cause = Callable[[], str | None]
#: Probability with which random errors may exceed what is allowed: that of three standard errors.
CHANCE = 2.7e-3
NAN = math.nan


class NotRun(LandscapeError):
    """Why a witness cannot be asked about this objective."""


def judge(
    witness: str,
    quantity: str,
    ours: float,
    theirs: float,
    *,
    ours_error: float,
    theirs_error: float = NAN,
    rounding: float = 0.0,
    difference: float | None = None,
    causes: Sequence[Cause] = (),
    remark: str = "",
) -> WitnessRow:
    """The row of one comparison.

    Parameters
    ----------
    ours_error, theirs_error : float
        Bounds, or reaches at three standard errors; NaN where none is stated. Their sum, and ``rounding``, is allowed.
    difference : float, optional
        Where it is not ``|ours − theirs|``: of vectors, the norm of theirs.
    causes : sequence of callables
        Asked in order where the difference is not allowed. One that raises accounts for nothing.
    remark : str
        What is said even where both agree, such as what a tool had to be lent.
    """
    apart = abs(ours - theirs) if difference is None else difference
    allowed = float(np.nansum([ours_error, theirs_error, rounding]))
    verdict, cause = (AGREES, "") if apart <= allowed else (DISAGREES, "no known cause")
    if verdict == DISAGREES:
        for known in causes:
            if (said := _asked(known)) is not None:
                verdict, cause = EXPLAINED, said
                break
    said = "; ".join(part for part in (cause, remark) if part)
    return WitnessRow(quantity, ours, ours_error, witness, theirs, theirs_error, apart, allowed, verdict, said)


def not_run(witness: str, error: Exception) -> WitnessRow:
    """The row of a witness that could not be asked, or could not answer."""
    reason = str(error) if isinstance(error, NotRun) else f"it raised {in_one_line(error, most=160)}"
    return WitnessRow("—", NAN, NAN, witness, NAN, NAN, NAN, NAN, NOT_RUN, reason)


def mean_reach(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float]:
    """How far each of two means of independent samples may be off, at three standard errors, from pooled samples.

    Two samples that a tool stopped at have no spread of their own worth the name; both draw from one distribution.
    """
    freedom = len(ours) + len(theirs) - 2
    spread = math.sqrt((ours.var() * len(ours) + theirs.var() * len(theirs)) / freedom) if freedom > 0 else math.inf
    quantile = float(special.stdtrit(max(freedom, 1), 1 - CHANCE / 2))
    # Reaches add up; those of independent means add in squares, and each gets its share of that.
    together = quantile * spread * math.sqrt(1 / len(ours) + 1 / len(theirs))
    share = (1 / len(ours)) / (1 / len(ours) + 1 / len(theirs))
    return share * together, (1 - share) * together


def version(distribution: str) -> str:
    """``name version`` of an installed distribution."""
    try:
        return f"{distribution} {importlib.metadata.version(distribution)}"
    except importlib.metadata.PackageNotFoundError:
        return distribution


def _asked(cause: Cause) -> str | None:
    try:
        return cause()
    except Exception:
        return None
