r"""How far a slice goes: until the loss has risen tenfold, by its curvature and a few losses.

On a parabola with the loss L₀ and the curvature c = dᵀHd at its lowest point, the loss at the edge is ten times that in
the middle where

.. math:: r = \sqrt{2 \cdot 9\, L_0 / c}

There the loss is evaluated, on both sides. Where the higher of the two is not between 2 and 100 times L₀, r moves as it
would on a parabola of the rise that was seen, by a factor of 8 at most, or to the geometric mean of too near and too
far; six times at most, never farther than ‖θ‖, nor nearer than rounding leaves of θ. Without a curvature above zero, or
a loss other than zero, it begins at ‖θ‖/10.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from landscape.rounding import format_value

AUTO = "auto"
#: Of the loss in the middle: the rise that is wanted at the edge, and the range that is taken.
_WANTED, _LEAST, _MOST = 9.0, 1.0, 99.0
_ROUNDS, _FACTOR = 6, 8.0
#: Of ‖θ‖: where it begins without a curvature; the farthest.
_BEGIN, _FARTHEST = 0.1, 1.0
#: Two axes whose own radii differ by less have one radius, so that the picture is square.
_ONE_RADIUS = 5.0
#: Around positions, of how far they reach; and the narrower axis, of the wider one.
_ROOM, _NARROWEST = 1.25, 0.25


@dataclass(frozen=True)
class Radius:
    """How far a slice goes along each of its axes.

    Attributes
    ----------
    values : tuple of float
        In lengths of the columns.
    words : str
        By what it was chosen; empty where it was given.
    num_losses : int
        Evaluated for it.
    """

    values: tuple[float, ...]
    words: str = ""
    num_losses: int = 0


def chosen_radius(
    loss_along: Callable[[int, float], float],
    *,
    centre: float,
    curvature: np.ndarray,
    lengths: np.ndarray,
    param_norm: float,
    resolution: float,
) -> Radius:
    """The rule above, for one column or two.

    Parameters
    ----------
    loss_along : callable
        ``loss_along(k, t)``: the loss at θ + t·d_k.
    centre : float
        The loss at θ.
    curvature : (K, K) array
        DᵀHD; NaN where there is none.
    lengths : (K,) array
        Of the columns.
    param_norm : float
        ‖θ‖.
    resolution : float
        Rounding of the loss and its derivatives, relative.
    """
    size = param_norm if param_norm > 0 else 1.0
    found = [
        _along(lambda t, k=k: loss_along(k, t), centre, float(curvature[k, k]), size / lengths[k], np.sqrt(resolution))  # type: ignore[misc]
        for k in range(len(lengths))
    ]
    radii, rises = [one.radius for one in found], [one.rise for one in found]
    if len(radii) == 2 and max(radii) < _ONE_RADIUS * min(radii):
        rises = [rises[int(np.argmin(radii))]]
        radii = [min(radii)] * 2
    said = " and ".join(_edge(one, centre) for one in rises)
    return Radius(tuple(radii), f"chosen so that {said}", sum(one.num_losses for one in found))


def around(positions: np.ndarray) -> Radius:
    """Such that positions (S, 2) are on the plane, with some room."""
    reach = _ROOM * np.abs(positions).max(axis=0)
    values = np.maximum(reach, _NARROWEST * reach.max())
    return Radius(tuple(values.tolist()), "chosen so that all positions are shown")


@dataclass(frozen=True)
class _Found:
    radius: float
    rise: float  # of the higher edge over the middle, in units of the loss there; NaN where that is zero
    num_losses: int


def _along(loss_at: Callable[[float], float], centre: float, curvature: float, whole: float, finest: float) -> _Found:
    """Along one column, of which ``whole`` lengths are ‖θ‖."""
    scale = abs(centre)
    has_scale = 0 < scale < np.inf
    radius = _BEGIN * whole
    if has_scale and 0 < curvature < np.inf:
        radius = float(np.sqrt(2 * _WANTED * scale / curvature))
    radius = float(np.clip(radius, finest * whole, _FARTHEST * whole))
    tried: dict[float, float] = {}  # radius → rise
    near = far = np.nan  # where that was too small, and too large
    while len(tried) < _ROUNDS and radius not in tried:
        ends = np.array([loss_at(side * radius) for side in (1.0, -1.0)])
        rise = tried[radius] = float(ends.max()) - centre if np.isfinite(ends).all() else np.inf
        if np.isfinite(rise) and (not has_scale or _LEAST <= rise / scale <= _MOST):
            break
        if rise < _LEAST * scale:
            near = radius
        else:
            far = radius
        factor = 0.25 if not np.isfinite(rise) else _FACTOR if rise <= 0 else np.sqrt(_WANTED * scale / rise)
        moved = radius * np.clip(factor, 1 / _FACTOR, _FACTOR) if np.isnan(near * far) else np.sqrt(near * far)
        radius = float(np.clip(moved, finest * whole, _FARTHEST * whole))
    best = min(tried, key=lambda one: _off(tried[one], scale))
    return _Found(best, tried[best] / scale if has_scale else np.nan, 2 * len(tried))


def _off(rise: float, scale: float) -> float:
    """How many factors of e a rise is from what is wanted; infinite for none, and more so where it is not finite."""
    if not np.isfinite(rise):
        return np.inf
    return abs(float(np.log(rise / (_WANTED * scale)))) if rise > 0 and scale > 0 else 1e300


def _edge(rise: float, centre: float) -> str:
    """What the loss does at the edge, in words."""
    if np.isnan(rise):
        return "it reaches a tenth of ‖θ‖"
    short = rise < _LEAST
    if centre < 0:
        seen = f"the loss rises by {format_value(rise, digits=2)} times its size in the middle"
    else:
        seen = f"the loss at the edge is {format_value(1 + rise, digits=2)} times that in the middle"
    return f"it reaches ‖θ‖, where {seen}" if short else seen
