"""The curvature at the centre of a slice by two routes: Hessian-vector products, and differences of slope and loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.geometry.second_differences import GROWTH, second_difference
from landscape.objective import Objective

#: What is even and what is odd in a pair of slopes, (K,) each, and the length of the latter.
_Pair = tuple[np.ndarray, np.ndarray, float]
#: Error in units of the distance between steps: enough for one kink, wherever it stands.
_SPREAD = 3.0
#: How many pairs of shorter steps are tried where kinks are in the way.
_SHORTER = 3
#: Where slopes are held against differences of the loss, in ``‖θ‖``: far enough out that the slope is one of curvature,
#: where θ is a minimum and has none of its own.
_AWAY = 2e-2
#: Share of the slope there by which the two may differ.
_SAME_SLOPE = 1e-2
#: Examples on which differences are held against Hessian-vector products. Whether slice and derivative agree does not
#: depend on how many there are; the cost does.
_EXAMPLES = 64


class Operator(Protocol):
    """What multiplies a vector (P,) by the Hessian, in a dtype of its own."""

    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device: ...
    def __matmul__(self, v: Tensor, /) -> Tensor: ...


def centre_curvature(
    objective: Objective, theta: Tensor, directions: Tensor, hessian: Operator | None = None
) -> tuple[np.ndarray, ...]:
    """``DᵀHD`` at θ, by Hessian-vector products and by differences along the slice.

    Up to 64 examples both are computed in float64 where the model runs in it, whatever the objective's dtype. Beyond,
    ``by_hvp`` is of all examples in the objective's dtype, and ``by_differences`` is that plus the discrepancy which
    the first 64 examples show in float64.

    Parameters
    ----------
    theta : (P,) tensor
    directions : (P, K) tensor
        K is 1 or 2; no column is zero.
    hessian : operator, optional
        That of this objective at θ, where somebody has it; left out, a product of all examples is a double backward.

    Returns
    -------
    by_hvp, by_differences, error : (K, K) arrays
        ``error`` is how far the differences can be trusted (measured: docs/accuracy.md). NaN where the loss or its
        derivatives are, and ``by_hvp`` where the model has no second derivative.

    Notes
    -----
    Costs K Hessian-vector products, and on at most 64 examples K more in float64, 5 K gradients (11 K where kinks are
    in the way) and 2 K losses; where slopes are not those of the loss, second differences of the loss as well
    (:func:`~landscape.geometry.second_differences.second_difference`).

    A kink of ReLU within the step h, with a jump j of the slope, adds ``j/2h``: curvature that H rightly leaves out. So
    the curvature is that of the slope ``dᵀ∇L``, whose differences need a step, √resolution of ``‖θ‖``, a hundred times
    shorter than those of the loss. Its value is Richardson's from h and 3h; the error is roundoff, measured by the part
    of the slopes that is even in the step, plus three times the larger distance from the value to both. While that is
    above the roundoff of a shorter step, as with a kink within h, that is tried too. That slopes are those of the loss
    is seen away from θ.
    """
    lengths = torch.linalg.vector_norm(directions, dim=0)
    units = directions / lengths
    scale = torch.outer(lengths, lengths).cpu().double().numpy()
    few = _in_double(objective.on_first(_EXAMPLES) if objective.num_examples > _EXAMPLES else objective, theta)
    on_few = _products(few, theta, units)
    values, errors = _differences(few, theta, units)
    if few.num_examples == objective.num_examples:
        return on_few * scale, values * scale, errors * scale
    by_hvp = _products(objective, theta, units, hessian)
    return by_hvp * scale, (by_hvp + (values - on_few)) * scale, errors * scale


def _differences(objective: Objective, theta: Tensor, units: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Curvatures along the units and across them, and their errors: (K, K) each."""
    theta, units = (x.to(objective.device, objective.dtype) for x in (theta, units))
    try:
        lines = [_Line(objective, theta, units, k) for k in range(units.shape[1])]
        trusted = all(line.slope_is_of_the_loss() for line in lines)
    except ObjectiveError:
        trusted = False
    if not trusted:
        return _bending(objective, theta, units)
    rows, errors = (np.stack(columns) for columns in zip(*(line.curvature() for line in lines), strict=True))
    return (rows + rows.T) / 2, np.maximum(errors, errors.T)


@dataclass(frozen=True)
class _Line:
    """The gradient on a line through θ along one of the units."""

    objective: Objective
    theta: Tensor
    units: Tensor
    index: int

    def _at(self, step: float) -> Tensor:
        return torch.add(self.theta, self.units[:, self.index], alpha=step)

    @property
    def _scale(self) -> float:
        return float(self.theta.norm()) or 1.0

    def slope_is_of_the_loss(self) -> bool:
        """Whether loss and gradient agree on the slope, at a place where it is not zero even if θ is a minimum."""
        objective, away = self.objective, _AWAY * self._scale
        eps = objective.resolution
        loss, gradient = objective.loss_and_gradient(self._at(away))
        slope = float(gradient @ self.units[:, self.index])
        step = 0.25 * eps ** (1 / 3) * self._scale
        ahead, behind = (objective.loss(self._at(away + side * step)) for side in (1.0, -1.0))
        # Where a loss is near zero its roundoff is that of the logits inside, which the gradient has the size of.
        size = abs(loss) + abs(ahead) + abs(behind) + float(gradient.norm()) * self._scale
        roundoff = 10 * eps * size / step
        with np.errstate(all="ignore"):
            return bool(abs((ahead - behind) / (2 * step) - slope) <= _SAME_SLOPE * abs(slope) + roundoff)

    def curvature(self) -> tuple[np.ndarray, np.ndarray]:
        """``Uᵀ H u`` by differences of the slopes, and its error: (K,) each."""
        step = float(np.sqrt(self.objective.resolution)) * self._scale
        near, far = self._pair(step), self._pair(GROWTH * step)
        value, error, roundoff = self._extrapolate(step, near, far)
        for _ in range(_SHORTER):
            step /= GROWTH
            if not np.any(GROWTH * roundoff < error):
                break
            near, far = self._pair(step), near
            shorter, error_then, roundoff = self._extrapolate(step, near, far)
            better = error_then < error
            value, error = np.where(better, shorter, value), np.where(better, error_then, error)
        return value, error

    def _pair(self, step: float) -> _Pair:
        """Half the sum and half the difference of the slopes at ±step, (K,) each, and the length of the latter."""
        ahead, behind = (self.objective.gradient(self._at(side * step)) for side in (1.0, -1.0))
        odd = (ahead - behind) / 2
        slopes = (self.units.T @ torch.stack([(ahead + behind) / 2, odd], dim=1)).cpu().double().numpy()
        return slopes[:, 0], slopes[:, 1], float(odd.norm())

    def _extrapolate(self, step: float, near: _Pair, far: _Pair) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Richardson's value from steps h and 3h, its error, and what roundoff is of it."""
        # What is even in so small a step bends nothing: it is roundoff, or a kink on one side.
        floor = self.objective.resolution * near[2] / step * self._scale
        roundoff = np.maximum(np.abs(near[0] - far[0]), max(floor, np.finfo(float).tiny)) / step
        first, second = near[1] / step, far[1] / (GROWTH * step)
        value = (GROWTH**2 * first - second) / (GROWTH**2 - 1)
        return value, roundoff + _SPREAD * np.maximum(abs(first - value), abs(second - value)), roundoff


def _bending(objective: Objective, theta: Tensor, units: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The same from the loss alone."""
    count = units.shape[1]
    centre = objective.loss(theta)
    lines = [second_difference(objective, theta, units[:, k], centre) for k in range(count)]
    values, errors = np.diag([v for v, _ in lines]), np.diag([e for _, e in lines])
    if count == 2:
        # uᵀHv from the diagonal of the sum or the difference, whichever is the longer.
        sign = 1.0 if float(units[:, 0] @ units[:, 1]) >= 0 else -1.0
        value, error = second_difference(objective, theta, units[:, 0] + sign * units[:, 1], centre)
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


def _products(objective: Objective, theta: Tensor, units: Tensor, hessian: Operator | None = None) -> np.ndarray:
    theta, units = (x.to(objective.device, objective.dtype) for x in (theta, units))
    count = units.shape[1]
    try:
        columns = [_product(objective, theta, u, hessian) for u in units.T]
    except ObjectiveError:
        return np.full((count, count), np.nan)
    matrix = (units.T @ torch.stack(columns, dim=1)).cpu().double().numpy()
    symmetric: np.ndarray = (matrix + matrix.T) / 2
    return symmetric


def _product(objective: Objective, theta: Tensor, unit: Tensor, hessian: Operator | None) -> Tensor:
    if hessian is None:
        return objective.hvp(unit, theta)
    return (hessian @ unit.to(hessian.device, hessian.dtype)).to(unit)
