"""Is where a run stands a minimum? Its gradient and smallest eigenvalue decide; what is none has other words."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from landscape.results import SecondOrderGain, StepHistory
from landscape.rounding import format_value
from landscape.store.catalogue import read
from landscape.store.metrics import CheckpointLike

#: A point is stationary where the quadratic model promises less than this share of the loss by going on.
STILL = 0.01
#: Or less than this share of the loss with which training began: where the least loss is 0, all of what is left may be
#: promised for ever.
FINISHED = 1e-8
#: A curvature below minus this share of λ_max is one along which the loss falls on; above, it is that of rounding.
DOWNWARD = 1e-3

MINIMUM, SADDLE, SLOPE, UNKNOWN = "a minimum", "a saddle", "no stationary point", "not known"


@dataclass(frozen=True)
class Stationarity:
    """What a point is.

    Attributes
    ----------
    left : float
        The decrease that a Newton step promises by the quadratic model, as a share of the loss; where only the
        gradient was measured, that of a gradient step of 1/λ_max, which is less. NaN where it is not known.
    lowest : float
        λ_min ÷ λ_max; NaN where it is not known.
    kind : {"a minimum", "a saddle", "no stationary point", "not known"}
    """

    left: float
    lowest: float
    kind: str


def stationary(checkpoint: CheckpointLike) -> Stationarity:
    r"""Whether a checkpoint is a minimum, a saddle or on its way.

    Going on, a gradient step of :math:`1/λ_{\max}` lowers the quadratic model by :math:`\|g\|² / 2λ_{\max}` and a
    damped Newton step by ``SecondOrderGain.over_one_step`` times that: it is this, as a share of the loss, that must be
    small, or a share of the loss at the first step that is smaller still, where every step's loss was saved. The
    gradient norm alone says nothing, for it has the units of the loss and of the parameters. All are invariant to a
    factor on the loss.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from landscape.results import PointValue
    >>> stationary(SimpleNamespace(step=0, metrics={}, records={"point": PointValue(1.0, 0.1, 1.0)})).kind
    'not known'
    """
    loss, gradient, top, bottom = (
        read(checkpoint, key) for key in ("train_loss", "grad_norm", "lambda_max", "lambda_min")
    )
    gain = checkpoint.records.get("second_order_gain")
    if loss is None or gradient is None or top is None or not top.value > 0 or not loss.value > 0:
        return Stationarity(math.nan, math.nan, UNKNOWN)
    one_step = gain.over_one_step if isinstance(gain, SecondOrderGain) else math.nan
    times = max(1.0, one_step) if math.isfinite(one_step) else 1.0
    promised = times * gradient.value**2 / (2 * top.value)
    left, is_still = promised / loss.value, promised <= max(STILL * loss.value, FINISHED * _at_first(checkpoint))
    if bottom is None:
        return Stationarity(left, math.nan, UNKNOWN if is_still else SLOPE)
    lowest, error = bottom.value / top.value, (bottom.error or 0.0) / top.value
    if not is_still:
        return Stationarity(left, lowest, SLOPE)
    return Stationarity(left, lowest, SADDLE if lowest < -max(DOWNWARD, error) else MINIMUM)


def _at_first(checkpoint: CheckpointLike) -> float:
    """The loss of the first step's batch; 0 where it was not saved."""
    history = checkpoint.records.get("history")
    if not isinstance(history, StepHistory) or "loss" not in history.names or not len(history):
        return 0.0
    first = float(history["loss"][0])
    return first if math.isfinite(first) else 0.0


def kinds_sentence(checkpoints: Iterable[CheckpointLike]) -> str:
    """How many runs ended at minima, and what the others are; empty where it is not known of any."""
    found = [stationary(checkpoint) for checkpoint in checkpoints]
    known = [one for one in found if one.kind != UNKNOWN]
    if not known:
        return ""
    counts = {kind: sum(one.kind == kind for one in known) for kind in (MINIMUM, SADDLE, SLOPE)}
    parts = [f"{counts[MINIMUM]} of {len(known)} end points {'is a minimum' if counts[MINIMUM] == 1 else 'are minima'}"]
    if counts[SADDLE]:
        worst = min(one.lowest for one in known if one.kind == SADDLE)
        parts.append(
            f"{counts[SADDLE]} still {'has' if counts[SADDLE] == 1 else 'have'} negative curvature (λ_min down to "
            f"{format_value(worst, digits=1)} λ_max)"
        )
    if counts[SLOPE]:
        most = max(one.left for one in known if one.kind == SLOPE)
        parts.append(
            f"at {counts[SLOPE]} training stopped on the way (a step promises up to {100 * min(most, 1.0):.0f} % of "
            "the loss by the quadratic model)"
        )
    return ", ".join(parts) + "."
