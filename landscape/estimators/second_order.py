"""Would second-order information pay here? What a damped Newton step promises over first-order steps of equal cost."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from landscape.checks import check_count, check_positive, check_share
from landscape.device import full_precision
from landscape.errors import UsageError
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.projection import eigh
from landscape.estimators.matvecs import Matvecs
from landscape.operators.exact import ExactOperator
from landscape.progress import Progress
from landscape.results import Eigenpairs, SecondOrderGain

_ROUNDING = 1e-6  # of λ_max: how far below the nodes the prescribed one must lie
#: Dampings that are looked at, in units of the one asked for.
AROUND = (0.1, 1.0, 10.0)


@full_precision()
def second_order_gain(
    H: Any,
    gradient: Any,
    *,
    eigs: Eigenpairs,
    damping: float = 1e-2,
    num_steps: int = 20,
    tol: float = 0.0,
    progress: Progress | None = None,
) -> SecondOrderGain:
    r"""How many times as much a damped Newton step would lower the quadratic model as gradient descent at equal cost.

    The Newton step :math:`s = -(H + δI)^{-1} g`, :math:`δ = \max(c\,λ_1, -2λ_{min})`, c the damping, is had from k
    products with H. For as many, gradient descent on the model :math:`gᵀs + \tfrac12 sᵀHs` makes k steps of the length
    that the sharpest direction allows, 1/λ₁, and conjugate gradients make k steps of their own. By how much each
    lowers the model is a sum over the spectral measure μ of the gradient, ``Σᵢ (uᵢᵀg)² δ(λ − λᵢ) / ‖g‖²``:

    .. math:: \text{Newton} = \int \frac{\tfrac12 λ + δ}{(λ + δ)^2}\,dμ, \qquad
              \text{descent} = \int \frac{1 - (1 - λ/λ_1)^{2k}}{2λ}\,dμ, \qquad
              \text{conjugate gradients} = \int \frac{dμ_k}{2λ},

    μₖ the Gauss rule of k nodes. A gain of 1: first-order steps for the same products do as much. It is about the whole
    data's quadratic model, not about noise. With negative curvature that model has no minimum: descent leaves along it.

    Parameters
    ----------
    H : LinearOperator
        The Hessian.
    gradient : (P,) array or tensor
        g, at the same point and of the same loss.
    eigs : Eigenpairs
        Of both ends of the spectrum (``which="both"``): λ₁ and λ_min.
    damping : float
        c; a tenth of it and ten times it are looked at too.
    num_steps : int
        k: Lanczos steps from the gradient, one matvec each, and as many vectors of memory. Fewer where the Krylov space
        ends before; then the Newton step is had for fewer.
    tol : float
        End as soon as each gain is known to this, relative to itself, whatever k steps would give: the gain over k
        steps of descent from bounds, that over k of conjugate gradients where those have met negative curvature, at
        which they stop. 0 makes all k.

    Returns
    -------
    SecondOrderGain
        Dimensionless. Gauss quadrature is never above Newton's integral, Gauss–Radau quadrature with a node at λ_min
        never below: the value is their middle, ``bound`` half their distance. It holds as far as λ_min, less its
        residual, is below the whole spectrum. The decrease of k first-order steps is exact after k products: its
        polynomial has degree 2k − 1. After fewer, the same two quadratures bound it: its derivatives alternate in sign
        below λ₁, as Newton's do.

    Raises
    ------
    UsageError
        For a zero gradient, eigenpairs of one end only, no positive curvature, or a damping that is not positive.

    References
    ----------
    Golub & Meurant (2010), Matrices, Moments and Quadrature, ch. 6, for the two quadratures as bounds. Nocedal &
    Wright (2006), Numerical Optimization, section 3.4, for damping by a multiple of the identity; section 7.1 for
    conjugate gradients that stop at negative curvature.

    Examples
    --------
    >>> from landscape import MatrixOperator, top_eigenpairs
    >>> H = MatrixOperator(torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64)))
    >>> eigs = top_eigenpairs(H, 1, which="both")
    >>> print(second_order_gain(H, torch.tensor([1.0, 0.0], dtype=torch.float64), eigs=eigs, damping=1e-9))
    1
    """
    check_positive("damping", damping, hint="it is a share of the largest eigenvalue")
    num_steps = check_count("num_steps", num_steps, least=2)
    if tol != 0:  # which asks for all the steps
        check_share("tol", tol, hint="it is relative to the gain")
    largest, lowest = _ends(eigs)
    matvecs = Matvecs(H, num_steps, progress)
    g = torch.as_tensor(gradient).detach().to(matvecs.operator.device, matvecs.operator.dtype)
    if tuple(g.shape) != (matvecs.operator.dim,) or not bool(torch.isfinite(g).all()) or not bool((g != 0).any()):
        raise UsageError(
            f"the gradient, of shape {tuple(g.shape)}, must be ({matvecs.operator.dim},), finite, not zero"
        )
    shifts = np.maximum(np.array(AROUND) * damping * largest, -2 * lowest)
    if isinstance(matvecs.operator, ExactOperator):  # which makes no products to be saved
        tol = 0.0
    node, run = lowest - _ROUNDING * largest, Krylov(matvecs, matvecs.slices.own(g), capacity=num_steps)
    while True:
        run.step()
        alphas, betas, _ = run.recurrence
        is_over = run.is_full or run.beta == 0
        if is_over or (tol > 0 and len(alphas) > 1 and _conjugate(alphas, betas)[1]):
            whole = _Rule.of(alphas, betas[:-1])
            if is_over and isinstance(matvecs.operator, ExactOperator):
                return _exactly(matvecs.operator, g, alphas, betas, damping, lowest)
            above = None if run.beta == 0 else _Rule.of(*_with_node(alphas, betas, node))
            # A space that has ended is all there is: then there are no more steps to be made.
            found = _gain(alphas, betas, whole, above, shifts, largest, len(alphas) if run.beta == 0 else num_steps)
            if is_over or bool((found.over_descent_bound <= tol * np.abs(found.over_descent)).all()):
                return found


def _gain(
    alphas: np.ndarray,
    betas: np.ndarray,
    whole: _Rule,
    above: _Rule | None,
    shifts: np.ndarray,
    largest: float,
    count: int,
) -> SecondOrderGain:
    """The record of ``count`` steps, of decreases per ‖g‖²; ``above`` is the rule whose integral is never too small."""
    conjugate, low = _conjugate(alphas, betas)[0] or math.nan, _newton(whole, shifts)
    high = low if above is None else _newton(above, shifts)
    descent = fastest = _descent(whole, largest, count)
    if above is not None and len(alphas) < count:
        fastest = max(_descent(above, largest, count), descent)
    value, reach, at = (low + high) / 2, np.abs(high - low) / 2, len(shifts) // 2
    gain, gain_reach = (low / fastest + high / descent) / 2, np.abs(high / descent - low / fastest) / 2
    return SecondOrderGain(
        float(gain[at]),
        bound=float(gain_reach[at]),
        num_matvecs=len(alphas),
        method=f"damped Newton against {count} gradient steps, {count} products each, damping "
        f"{shifts[at] / largest:.2g} λ₁",
        dampings=shifts / largest,
        over_descent=gain,
        over_descent_bound=gain_reach,
        over_conjugate=value / conjugate,
        over_conjugate_bound=reach / conjugate,
        over_one_step=float(value[at] / _descent(whole, largest, 1)),
        num_steps=count,
    )


def _exactly(
    H: ExactOperator, g: torch.Tensor, alphas: np.ndarray, betas: np.ndarray, damping: float, lowest: float
) -> SecondOrderGain:
    """The record where the measure of the gradient is known: no quadrature, no product, and rounding for the bound."""
    shares = (H.vectors.T @ g).square().cpu().numpy()
    measure = _Rule(H.values, shares / shares.sum())
    largest = float(H.values[0])
    shifts = np.maximum(np.array(AROUND) * damping * largest, -2 * lowest)
    found = _gain(alphas, betas, measure, measure, shifts, largest, len(alphas))
    # Of the decrease f(λ) the slope −(λ + 3δ)/(2(λ + δ)³) is steepest at the lowest eigenvalue.
    least = float(H.values[-1]) - H.rounding
    slopes = H.rounding * (least + 3 * shifts) / (2 * np.maximum(least + shifts, np.finfo(float).tiny) ** 3)
    reach = np.abs(found.over_descent) * slopes / _newton(measure, shifts)
    return replace(
        found, bound=float(reach[len(reach) // 2]), over_descent_bound=reach,
        over_conjugate_bound=np.abs(found.over_conjugate) * slopes / _newton(measure, shifts), num_matvecs=0,
        method=f"{found.method}; from the whole matrix",
    )  # fmt: skip


@dataclass(frozen=True)
class _Rule:
    """Nodes and weights (T,) of the spectral measure of the gradient; the weights sum to 1."""

    nodes: np.ndarray
    weights: np.ndarray

    @classmethod
    def of(cls, diagonal: np.ndarray, beside: np.ndarray) -> _Rule:
        """Of a Jacobi matrix (Golub & Welsch 1969)."""
        nodes, vectors = eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        return cls(nodes, vectors[0] ** 2)


def _newton(rule: _Rule, shifts: np.ndarray) -> np.ndarray:
    """Decrease by ``−(H + δI)⁻¹g``, for each δ (D,)."""
    x = rule.nodes
    decreases: np.ndarray = ((x / 2 + shifts[:, None]) / (x + shifts[:, None]) ** 2) @ rule.weights
    return decreases


def _descent(rule: _Rule, largest: float, count: int) -> float:
    """Decrease by ``count`` gradient steps of 1/λ₁: ``(1 − (1 − λ/λ₁)^{2k})/(2λ)``, k/λ₁ where λ = 0."""
    # 1 − (1 − y)^{2k} loses its digits for small y: written as a geometric sum, y·Σⱼ (1 − y)ʲ, it keeps them.
    powers = (1 - rule.nodes / largest)[:, None] ** np.arange(2 * count)
    return float(rule.weights @ powers.sum(1)) / (2 * largest)


def _conjugate(alphas: np.ndarray, betas: np.ndarray) -> tuple[float, bool]:
    """Decrease by conjugate gradients, ½e₁ᵀT⁻¹e₁ over ``‖g‖²``, and whether negative curvature has ended them.

    ``T = LDLᵀ`` with the pivots dⱼ; step j lowers the model by ``ζⱼ²/(2dⱼ)``, ζⱼ₊₁ = −ζⱼβⱼ/dⱼ.
    """
    decrease, pivot, part = 0.0, float(alphas[0]), 1.0
    for j in range(len(alphas)):
        if j:
            part *= -betas[j - 1] / pivot
            pivot = float(alphas[j] - betas[j - 1] ** 2 / pivot)
        if not pivot > 0:
            return decrease, True
        decrease += part**2 / (2 * pivot)
    return decrease, False


def _ends(eigs: Eigenpairs) -> tuple[float, float]:
    """λ₁ and a value below λ_min."""
    top, bottom = eigs.largest, eigs.smallest
    if top is None or bottom is None:
        raise UsageError(f"eigs holds {len(eigs)} pairs of which={eigs.which!r}; both ends are needed, which='both'")
    largest, lowest = top.value, bottom.interval()[0]
    if not largest > 0:
        raise UsageError(f"the largest eigenvalue is {largest:.3g}: there is no positive curvature to divide by")
    return largest, lowest


def _with_node(alphas: np.ndarray, betas: np.ndarray, node: float) -> tuple[np.ndarray, np.ndarray]:
    """One row more, so that ``node`` is among the nodes (Golub 1973, SIAM Review 15(2), §4)."""
    size = len(alphas)
    matrix = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    node = min(node, float(np.linalg.eigvalsh(matrix)[0]) - 1e-12 * float(np.abs(alphas).max()))
    last = np.zeros(size)
    last[-1] = betas[-1] ** 2
    solved = np.linalg.solve(matrix - node * np.eye(size), last)
    return np.append(alphas, node + solved[-1]), betas
