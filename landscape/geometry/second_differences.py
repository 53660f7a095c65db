"""How the loss itself bends on a line: second differences, which see its kinks too."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.objective import Objective

#: Relative roundoff that the smallest step is chosen for.
_ROUNDOFF = 1e-5
#: From one step to the next.
GROWTH = 3.0
#: Error in units of the spread over steps: enough for one kink, wherever it stands.
_SPREAD = 3.0
#: Longest of the first steps, in ``‖θ‖/‖d‖``, where the loss itself gives no scale for its roundoff.
_LONGEST = 0.03
#: How many shorter steps are tried where kinks are in the way; each has nine times the roundoff of the one before.
_SHORTER = 3


def second_difference(objective: Objective, theta: Tensor, direction: Tensor, centre: float) -> tuple[float, float]:
    """``dᵀHd`` and its error for d of a length between 1 and 2, from ten to sixteen losses on the line."""
    eps = objective.resolution
    unit = float(theta.norm()) or 1.0

    def numerator(step: float) -> float:
        ahead = objective.loss(torch.add(theta, direction, alpha=step))
        return ahead - 2 * centre + objective.loss(torch.add(theta, direction, alpha=-step))

    with np.errstate(all="ignore"):
        # A step this small bends nothing: what is left is roundoff, which for losses near zero is that of the logits
        # inside, not of the loss.
        noise = max(4 * eps * abs(centre), 4 * abs(numerator(1e2 * eps**0.75 * unit)), np.finfo(float).tiny)
        longest = min((noise / max(abs(centre), noise)) ** 0.25, _LONGEST) * unit
        pilot = abs(numerator(GROWTH**2 * longest)) / (GROWTH**2 * longest) ** 2
        step = min(longest, np.sqrt(noise / max(_ROUNDOFF * pilot, np.finfo(float).tiny)))
        steps = [step * GROWTH**power for power in range(3)]
        differences = [numerator(h) / h**2 for h in steps]
        value, error = _extrapolate(steps, differences, noise)
        for _ in range(_SHORTER):
            step /= GROWTH
            if not noise / step**2 < error:
                break
            steps, differences = [step, *steps], [numerator(step) / step**2, *differences]
            value, error = min((value, error), _extrapolate(steps, differences, noise), key=lambda pair: pair[1])
    return value, error


def _extrapolate(steps: list[float], differences: list[float], noise: float) -> tuple[float, float]:
    """Richardson's value from the two smallest steps, and its error from how far the three smallest lie from it."""
    value = (GROWTH**2 * differences[0] - differences[1]) / (GROWTH**2 - 1)
    return value, noise / steps[0] ** 2 + _SPREAD * max(abs(d - value) for d in differences[:3])
