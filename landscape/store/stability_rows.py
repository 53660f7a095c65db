"""How the table of stability is read: one row of it as a number with its error, or over its threshold."""

from __future__ import annotations

import math
from collections.abc import Callable

from landscape.results import Estimate, Stability
from landscape.store.metrics import CheckpointLike
from landscape.store.reading import BOUND, LOWER_BOUND, Reading, reading_of

#: The measures that say where a quadratic becomes unstable; an optimizer has a threshold for one of them.
DECISIVE = ("lambda_max", "preconditioned_sharpness", "generalized_sharpness")
#: Degrees of freedom that a mean over batches has at least.
_FREEDOM = 15


def row_of(measure: str) -> Callable[[CheckpointLike], Reading | None]:
    """Reads a measure of the table of a checkpoint; None where it does not apply there."""

    def read(checkpoint: CheckpointLike) -> Reading | None:
        table = checkpoint.records.get("stability")
        if not isinstance(table, Stability) or measure not in table.measures:
            return None
        row = table[measure]
        return _reading(row.value, row.error, row.kind, row.converged)

    return read


def decisive_ratio(checkpoint: CheckpointLike) -> Reading | None:
    """The curvature that decides for the optimizer over its threshold; None where none of them has one."""
    table = checkpoint.records.get("stability")
    if not isinstance(table, Stability):
        return None
    rows = [row for row in table.rows if row.measure in DECISIVE and not math.isnan(row.ratio)]
    if not rows:
        return None
    row = rows[0]
    return _reading(row.ratio, row.error / row.threshold, row.kind, row.converged)


def _reading(value: float, error: float, kind: str, converged: bool) -> Reading:
    if kind == LOWER_BOUND:
        return Reading(value, None, converged, error_kind=LOWER_BOUND, low=value, high=math.inf)
    if math.isnan(error):
        return Reading(value, converged=converged)
    found = Estimate(value, bound=error) if kind == BOUND else Estimate(value, sem=error, freedom=_FREEDOM)
    return reading_of(found, converged=converged)
