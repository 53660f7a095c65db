"""Would second-order information pay here? What a damped Newton step promises over a gradient step."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape.checks import check_count, check_positive
from landscape.errors import UsageError
from landscape.estimators.krylov.lanczos import Krylov
from landscape.estimators.krylov.projection import eigh
from landscape.estimators.matvecs import Matvecs
from landscape.progress import Progress
from landscape.results import Eigenpairs, Estimate

_ROUNDING = 1e-6  # of λ_max: how far below the nodes the prescribed one must lie


def second_order_gain(
    H: Any,
    gradient: Any,
    *,
    eigs: Eigenpairs,
    damping: float = 1e-2,
    num_steps: int = 20,
    progress: Progress | None = None,
) -> Estimate:
    r"""How many times as much a damped Newton step would lower the quadratic model as a gradient step does.

    The gradient step has the length that the sharpest direction allows, :math:`s = -g/λ_1`; the Newton step is
    :math:`s = -(H + δI)^{-1} g` with :math:`δ = \max(c\,λ_1, -2λ_{min})`, c the damping. Both lower
    :math:`gᵀs + \tfrac12 sᵀHs`, and

    .. math:: \text{gain} = \frac{\int (\tfrac12 λ + δ)/(λ + δ)^2\,dμ(λ)}{1/λ_1 - \barλ/(2λ_1^2)},

    where μ is the spectral measure of the gradient, ``Σᵢ (uᵢᵀg)² δ(λ − λᵢ) / ‖g‖²``, and λ̄ its mean ``gᵀHg/‖g‖²``. A
    gain of 1: one step size serves all. Large: the gradient lies where the loss is flat. It is about one step on the
    whole data's quadratic model, not about noise.

    Parameters
    ----------
    H : LinearOperator
        The Hessian.
    gradient : (P,) array or tensor
        g, at the same point and of the same loss.
    eigs : Eigenpairs
        Of both ends of the spectrum (``which="both"``): λ₁ and λ_min.
    damping : float
        c. With c = 0.01 and a positive Hessian the gain is at most 200.
    num_steps : int
        Lanczos steps from the gradient: one matvec each, and as many vectors of memory.

    Returns
    -------
    Estimate
        Dimensionless. Gauss quadrature is never above the integral, Gauss–Radau quadrature with a node at λ_min never
        below: the value is their middle, ``bound`` half their distance. It holds as far as λ_min, less its residual, is
        below the whole spectrum.

    Raises
    ------
    UsageError
        For a zero gradient, eigenpairs of one end only, no positive curvature, or a damping that is not positive.

    References
    ----------
    Golub & Meurant (2010), Matrices, Moments and Quadrature, ch. 6, for the two quadratures as bounds. Nocedal &
    Wright (2006), Numerical Optimization, section 3.4, for damping by a multiple of the identity.

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
    largest, lowest = _ends(eigs)
    matvecs = Matvecs(H, num_steps, progress)
    g = torch.as_tensor(gradient).detach().to(matvecs.operator.device, matvecs.operator.dtype)
    if tuple(g.shape) != (matvecs.operator.dim,) or not bool(torch.isfinite(g).all()) or not bool((g != 0).any()):
        raise UsageError(
            f"the gradient, of shape {tuple(g.shape)}, must be ({matvecs.operator.dim},), finite, not zero"
        )
    run = Krylov(matvecs, g, capacity=num_steps)
    while not run.is_full:
        run.step()
        if run.beta == 0:
            break
    alphas, betas, _ = run.recurrence
    shift = max(damping * largest, -2 * lowest)

    def integral(diagonal: np.ndarray, beside: np.ndarray) -> float:
        nodes, weights = _quadrature(diagonal, beside)
        return float(weights @ ((nodes / 2 + shift) / (nodes + shift) ** 2))

    low = integral(alphas, betas[:-1])
    high = low if run.beta == 0 else integral(*_with_node(alphas, betas, lowest - _ROUNDING * largest))
    unit = 1 / largest - alphas[0] / (2 * largest**2)
    return Estimate(
        (low + high) / (2 * unit),
        bound=abs(high - low) / (2 * unit),
        num_matvecs=matvecs.done,
        method=f"damped Newton against gradient step, damping {shift / largest:.2g} λ₁",
    )


def _ends(eigs: Eigenpairs) -> tuple[float, float]:
    """λ₁ and a value below λ_min."""
    top, bottom = eigs.largest, eigs.smallest
    if top is None or bottom is None:
        raise UsageError(f"eigs holds {len(eigs)} pairs of which={eigs.which!r}; both ends are needed, which='both'")
    largest, lowest = top.value, bottom.interval()[0]
    if not largest > 0:
        raise UsageError(f"the largest eigenvalue is {largest:.3g}: there is no positive curvature to divide by")
    return largest, lowest


def _quadrature(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of a Jacobi matrix (Golub & Welsch 1969)."""
    nodes, vectors = eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
    return nodes, vectors[0] ** 2


def _with_node(alphas: np.ndarray, betas: np.ndarray, node: float) -> tuple[np.ndarray, np.ndarray]:
    """One row more, so that ``node`` is among the nodes (Golub 1973, SIAM Review 15(2), §4)."""
    size = len(alphas)
    matrix = np.diag(alphas) + np.diag(betas[:-1], 1) + np.diag(betas[:-1], -1)
    node = min(node, float(np.linalg.eigvalsh(matrix)[0]) - 1e-12 * float(np.abs(alphas).max()))
    last = np.zeros(size)
    last[-1] = betas[-1] ** 2
    solved = np.linalg.solve(matrix - node * np.eye(size), last)
    return np.append(alphas, node + solved[-1]), betas
