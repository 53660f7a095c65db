"""The curvature at the centre of a slice by two routes: Hessian-vector products, and second differences of the loss."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.objective import Objective

#: Relative roundoff that the smallest step is chosen for: well below what is asked of the comparison, and yet so small
#: a step that it crosses few kinks of ReLU.
_ROUNDOFF = 1e-5
_GROWTH = 3.0
#: Error in units of the spread over steps: enough for one kink, wherever it stands.
_SPREAD = 3.0
#: Longest of the first steps, in ``‖θ‖/‖d‖``, where the loss itself gives no scale for its roundoff.
_LONGEST = 0.03
#: How many shorter steps are tried where kinks are in the way; each has nine times the roundoff of the one before.
_SHORTER = 3
#: Examples on which second differences are held against Hessian-vector products. Whether slice and derivative agree
#: does not depend on how many there are; the cost does.
_EXAMPLES = 256


def centre_curvature(objective: Objective, theta: Tensor, directions: Tensor) -> tuple[np.ndarray, ...]:
    r"""``DᵀHD`` at θ, by Hessian-vector products and by second differences of the loss.

    Up to 256 examples both are computed in float64 where the model runs in it, whatever the objective's dtype. Beyond,
    ``by_hvp`` is of all examples in the objective's dtype, and ``by_differences`` is that plus the discrepancy which
    the first 256 examples show in float64.

    Parameters
    ----------
    theta : (P,) tensor
    directions : (P, K) tensor
        K is 1 or 2; no column is zero.

    Returns
    -------
    by_hvp, by_differences, error : (K, K) arrays
        ``error`` is how far the differences can be trusted. NaN where the loss or its derivatives are, and ``by_hvp``
        where the model has no second derivative.

    Notes
    -----
    Costs K Hessian-vector products, and on at most 256 examples K more in float64 and 11 losses (17 where kinks are in
    the way); 31 (49) for K = 2.

    Along a line the step h is tried at ``h₀, 3h₀, 9h₀``, with h₀ so small that roundoff, measured as the second
    difference over a vanishing step, is about 1e-5 of the curvature, but at most about eps^¼ of ``‖θ‖/‖d‖``. The
    value is Richardson's from the first two; the error is its roundoff plus three times the largest distance from it to
    any of the three. A kink of ReLU within h adds ``j (1 − |t|/h)/h`` (j the jump of the slope, t its place), curvature
    that H rightly leaves out; where one kink stands alone, at most 2.5 such distances are what it adds. So
    while the error is above the roundoff of a shorter step, that is tried too, and the smallest error is kept: between
    the kinks the steps agree again. On trained LeNet-5, where 1,437 images make kinks everywhere, it covered the
    difference along 12 of 12 filter-normalised directions, with a median of 0.4 % of the curvature.
    """
    lengths = torch.linalg.vector_norm(directions, dim=0)
    units = directions / lengths
    scale = torch.outer(lengths, lengths).cpu().double().numpy()
    few = _in_double(objective.on_first(_EXAMPLES) if objective.num_examples > _EXAMPLES else objective, theta)
    on_few = _products(few, theta, units)
    values, errors = _differences(few, theta, units)
    if few.num_examples == objective.num_examples:
        return on_few * scale, values * scale, errors * scale
    by_hvp = _products(objective, theta, units)
    return by_hvp * scale, (by_hvp + (values - on_few)) * scale, errors * scale


def _differences(objective: Objective, theta: Tensor, units: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Second differences along the units and across them, and their errors: (K, K) each."""
    theta, units = (x.to(objective.device, objective.dtype) for x in (theta, units))
    count = units.shape[1]
    centre = objective.loss(theta)
    lines = [_second_difference(objective, theta, units[:, k], centre) for k in range(count)]
    values, errors = np.diag([v for v, _ in lines]), np.diag([e for _, e in lines])
    if count == 2:
        # uᵀHv from the diagonal of the sum or the difference, whichever is the longer.
        sign = 1.0 if float(units[:, 0] @ units[:, 1]) >= 0 else -1.0
        value, error = _second_difference(objective, theta, units[:, 0] + sign * units[:, 1], centre)
        values[0, 1] = values[1, 0] = sign * (value - lines[0][0] - lines[1][0]) / 2
        errors[0, 1] = errors[1, 0] = (error + lines[0][1] + lines[1][1]) / 2
    return values, errors


def _in_double(objective: Objective, theta: Tensor) -> Objective:
    """The objective in float64; as it is where model or device cannot."""
    double = objective.with_dtype(torch.float64)
    try:
        double.loss(theta)
    except (RuntimeError, TypeError):
        return objective
    return double


def _products(objective: Objective, theta: Tensor, units: Tensor) -> np.ndarray:
    theta, units = (x.to(objective.device, objective.dtype) for x in (theta, units))
    count = units.shape[1]
    try:
        columns = [objective.hvp(units[:, k], theta) for k in range(count)]
    except ObjectiveError:
        return np.full((count, count), np.nan)
    matrix = (units.T @ torch.stack(columns, dim=1)).cpu().double().numpy()
    return (matrix + matrix.T) / 2


def _second_difference(objective: Objective, theta: Tensor, direction: Tensor, centre: float) -> tuple[float, float]:
    """``dᵀHd`` and its error for d of a length between 1 and 2, from ten to sixteen losses on the line."""
    eps = torch.finfo(objective.dtype).eps
    unit = float(theta.norm()) or 1.0

    def numerator(step: float) -> float:
        ahead = objective.loss(torch.add(theta, direction, alpha=step))
        return ahead - 2 * centre + objective.loss(torch.add(theta, direction, alpha=-step))

    with np.errstate(all="ignore"):
        # A step this small bends nothing: what is left is roundoff, which for losses near zero is that of the logits
        # inside, not of the loss.
        noise = max(4 * eps * abs(centre), 4 * abs(numerator(1e2 * eps**0.75 * unit)), np.finfo(float).tiny)
        longest = min((noise / max(abs(centre), noise)) ** 0.25, _LONGEST) * unit
        pilot = abs(numerator(_GROWTH**2 * longest)) / (_GROWTH**2 * longest) ** 2
        step = min(longest, np.sqrt(noise / max(_ROUNDOFF * pilot, np.finfo(float).tiny)))
        steps = [step * _GROWTH**power for power in range(3)]
        differences = [numerator(h) / h**2 for h in steps]
        value, error = _extrapolate(steps, differences, noise)
        for _ in range(_SHORTER):
            step /= _GROWTH
            if not noise / step**2 < error:
                break
            steps, differences = [step, *steps], [numerator(step) / step**2, *differences]
            value, error = min((value, error), _extrapolate(steps, differences, noise), key=lambda pair: pair[1])
    return value, error


def _extrapolate(steps: list[float], differences: list[float], noise: float) -> tuple[float, float]:
    """Richardson's value from the two smallest steps, and its error from how far the three smallest lie from it."""
    value = (_GROWTH**2 * differences[0] - differences[1]) / (_GROWTH**2 - 1)
    return value, noise / steps[0] ** 2 + _SPREAD * max(abs(d - value) for d in differences[:3])
