"""Learning coefficients that are known: at every n as an integral, for n → ∞ as a number.

``t`` stands for nβ, ``gamma`` for the localisation: densities are ``exp(−tL(w) − γ/2‖w‖²)`` around a minimum at 0, and
the value at finite n is ``t·E[L]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, pairwise

import numpy as np

POINTS = {1: 4001, 2: 1001}  # of the grid along each integral, by their number
SMALLEST, LARGEST = 1e-10, 60.0  # of a squared length, in units of γ/t and of 1/γ: what lies beyond weighs nothing


def of_quadratic(curvatures: np.ndarray, t: float, gamma: float) -> float:
    """``L = ½ Σ aᵢwᵢ²``: a Gaussian."""
    return float((t * curvatures / (2 * (t * curvatures + gamma))).sum())


def of_power(k: int, t: float, gamma: float) -> float:
    """``L = w²ᵏ`` of one parameter, by quadrature over log w; 1/(2k) in the limit."""
    w = np.exp(np.linspace(np.log(1e-8), np.log(12 * gamma**-0.5), POINTS[1]))
    rise = t * w ** (2 * k)
    return _mean(rise, np.log(w) - rise - gamma * w * w / 2)


def of_linear_network(widths: Sequence[int], t: float, gamma: float) -> float:
    r"""``L = ½‖W_L…W₁‖²`` of layers from ``widths[0]`` inputs to ``widths[-1]`` outputs, around all weights zero.

    The first layer is Gaussian where the others are known, so that only the squared singular values x of their product
    are left to integrate over: of one layer with one or two columns, or of several with a single hidden unit between,

    .. math:: t\,\mathrm{E}[L] = \tfrac{d}{2} \sum_i \mathrm{E}\Bigl[\frac{t x_i}{t x_i + \gamma}\Bigr],
        \qquad \text{weight } p(x) \prod_i (1 + t x_i/\gamma)^{-d/2}, \quad d \text{ inputs.}
    """
    squares, logs = _later_layers(widths, t, gamma)
    ratio = t / gamma * squares
    logs = logs - widths[0] / 2 * np.log1p(ratio).sum(axis=0)
    return _mean(widths[0] / 2 * (ratio / (1 + ratio)).sum(axis=0), logs)


def _later_layers(widths: Sequence[int], t: float, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    """Squared singular values (K, …) of the product of all layers but the first, and the logarithm of their density."""
    hidden, outputs = list(widths[1:-1]), widths[-1]
    if hidden not in ([1], [2], [1, 1]):
        raise ValueError(f"hidden widths {hidden} take more than two integrals")
    ends = np.log(SMALLEST * min(1.0, gamma / t) / gamma), np.log(LARGEST / gamma)
    axes = np.meshgrid(*[np.exp(np.linspace(*ends, POINTS[sum(hidden)]))] * sum(hidden), indexing="ij")
    gaussian = -gamma / 2 * sum(axes)
    if hidden == [2]:  # the eigenvalues of a Wishart matrix
        x, y = axes
        with np.errstate(divide="ignore"):
            return np.stack([x, y]), (outputs - 1) / 2 * np.log(x * y) + np.log(abs(x - y)) + gaussian
    powers = [outputs / 2, 0.5][: len(axes)]  # of ‖w‖² of the last layer, and of a single weight between
    logs = sum(power * np.log(axis) for power, axis in zip(powers, axes, strict=True)) + gaussian
    return np.prod(axes, axis=0)[None], logs


def _mean(values: np.ndarray, logs: np.ndarray) -> float:
    weights = np.exp(logs - logs.max())
    return float((values * weights).sum() / weights.sum())


def aoyagi(widths: Sequence[int], rank: int = 0) -> float:
    """Of a deep linear network whose truth has this rank.

    References
    ----------
    Aoyagi (2024), Consideration on the learning efficiency of multiple-layered neural networks with linear units,
    Neural Networks 172, as restated in Lau et al. (2025), AISTATS, and in Furman & Lau (2024), arXiv:2402.03698.
    """
    excess = sorted(width - rank for width in widths)
    chosen = next(M for M in (excess[: m + 1] for m in range(1, len(excess))) if _is_closed(M, excess))
    m, total = len(chosen) - 1, sum(chosen)
    a = total - (-(-total // m) - 1) * m
    pairs = sum(x * y for x, y in combinations(chosen, 2))
    regular = (rank * (widths[0] + widths[-1]) - rank**2) / 2
    return regular + a * (m - a) / (4 * m) - (m - 1) * total**2 / (4 * m) + pairs / 2


def _is_closed(chosen: list[int], excess: list[int]) -> bool:
    m, rest = len(chosen) - 1, excess[len(chosen) :]
    return sum(chosen) >= m * chosen[-1] and (not rest or sum(chosen) < m * rest[0])


def num_parameters(widths: Sequence[int]) -> int:
    """Of a linear network without biases."""
    return sum(a * b for a, b in pairwise(widths))
