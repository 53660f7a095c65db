"""The probes that our estimators drew, overheard, and what they give when another hand averages them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from landscape.results.crosscheck import WitnessRow
from landscape.witness.ours import Ours
from landscape.witness.verdicts import judge

NAME = "our probes, apart"
DISTRIBUTION = "numpy"
#: Rounding of sums in float32, relative.
_SLACK = 3e-5


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """The trace and the density's first two moments, from ``zᵀz``, ``zᵀHz`` and ``‖Hz‖²`` of each vector multiplied.

    Products are ours; what the estimators make of them is not. Dividing by ``zᵀz`` holds for probes of any length.
    """
    length, quotient, _ = ours.trace_heard.T
    samples = ours.dim * quotient / length
    slack = _SLACK * float(np.abs(samples).mean())
    yield judge(NAME, "trace, of the same probes", ours.trace.value, float(samples.mean()), ours_error=slack)
    spread = float(samples.std(ddof=1)) / np.sqrt(len(samples))
    yield judge(NAME, "standard error of the trace", ours.trace.sem or 0.0, spread, ours_error=slack)
    length, quotient, square = ours.density_heard.T
    size = float(np.sqrt((square / length).mean()))
    for power, moments in ((1, quotient / length), (2, square / length)):
        yield judge(
            NAME, f"density: mean of λ{'²' if power == 2 else ''}, same probes",
            ours.density.moment(power).value, float(moments.mean()), ours_error=_SLACK * size**power,
        )  # fmt: skip
