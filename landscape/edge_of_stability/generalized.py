"""Generalised sharpness: the largest curvature over the unit ball of the norm in which an optimizer steps."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_choice, check_count, check_seed, check_share
from landscape.device import place_of_float64, widened
from landscape.edge_of_stability.norm_balls import BALLS, FLOORS, NormBall
from landscape.errors import NotConverged
from landscape.estimators import probe, top_eigenpairs
from landscape.objective import Objective, Vector
from landscape.operators import HessianOperator, LinearOperator
from landscape.params import ParamLayout, match_names
from landscape.progress import Progress
from landscape.results import Eigenpairs, GeneralizedSharpness, OptimizerUpdate

#: Relative residual of the eigenvalues that bound the maximum from above, and products for each.
_EIGEN_TOL, _EIGEN_MATVECS = 0.02, 100


def generalized_sharpness(
    objective: Objective,
    *,
    norm: str,
    theta: Vector | None = None,
    update: OptimizerUpdate | None = None,
    hold: str | Sequence[str] = (),
    hessian: LinearOperator | None = None,
    starts: int = 4,
    steps: int = 40,
    tol: float = 1e-3,
    seed: int = 0,
    strict: bool = True,
    progress: Progress | None = None,
) -> GeneralizedSharpness:
    r"""``max dᵀHd`` over ``‖d‖ ≤ 1``, in the norm in which an optimizer takes the steepest step.

    In the Euclidean norm it is λ_max. Steepest descent in another norm, ``θ ← θ − η‖g‖* d`` with d the unit step and
    ‖·‖* the dual norm, keeps it about ``2/η``. An optimizer that moves by η itself is that one with step ``η/‖g‖*``, so
    its threshold is ``2‖g‖*/η``; signSGD is it without momentum, Lion and Muon have momentum besides.

    ===============  =============================================================  =========================
    norm             unit ball                                                      optimizers
    ===============  =============================================================  =========================
    ``"linf"``       every entry of d between −1 and 1                              signSGD, Lion
    ``"spectral"``   every tensor, as matrix of its first axis by the others, has   Muon
                     singular values of at most 1; of one axis its 2-norm is
    ===============  =============================================================  =========================

    Parameters
    ----------
    objective : Objective
    norm : {"linf", "spectral"}
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    update : OptimizerUpdate, optional
        Whose step gives each tensor its own radius, the norm of ``uₗ`` without decay: rates differ by group, and Muon
        scales its steps by the shape. Left out, all radii are 1.
    hold : str or sequence of str
        Globs of parameters that stay fixed, such as those that another optimizer moves: d is zero there.
    hessian : LinearOperator, optional
        H there, where it is made already.
    starts : int
        Ascents: from the largest eigenvector, from the gradient, then from random corners of the ball.
    steps : int
        Products that each ascent may take.
    tol : float
        An ascent has settled when no point of the ball promises more than this share of its value, to first order.
    seed : int
        Of the random corners and of the eigenvalues' starts.
    strict : bool
        Raise ``NotConverged`` where the best ascent did not settle; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(matvecs done, most)``.

    Returns
    -------
    GeneralizedSharpness
        ``value`` is reached, so it is a lower bound (the maximum over signs is a maximum cut, which is NP-hard);
        ``upper`` is the smallest of three bounds that hold for any H: λ_max times the largest ``‖d‖₂²`` of the ball,
        and λ_max in weights taken from the best d, times their sum, twice: that is the maximum itself where relaxing
        the problem loses nothing, as for a diagonal H; of small networks ``upper`` was 1.4 to 6 times ``value``.

    Raises
    ------
    NotConverged
        With the record as ``.partial``, if ``strict``.
    UsageError
        If an argument is outside the ranges above.

    Notes
    -----
    Costs up to ``starts·(steps + 1)`` products for the ascents and about 50 for three eigenvalues, and a gradient.

    References
    ----------
    Islamov, Crawshaw, Cohen, Gower (2026), Non-Euclidean gradient descent operates at the edge of stability,
    arXiv:2603.05002, for the definition and its threshold. Frank & Wolfe (1956), Nav. Res. Logist. Q. 3, for the
    ascent. Goemans & Williamson (1995), J. ACM 42(6), for the relaxation whose dual gives the weights.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> objective = Objective(model, lambda f, t: ((f - t) ** 2).sum(1).mean() / 2, data, dtype=torch.float64)
    >>> found = generalized_sharpness(objective, norm="linf")  # H = [[2, 1], [1, 1]]: d = (1, 1)
    >>> round(found.value, 6), round(found.upper, 6)
    (5.0, 5.0)
    """
    check_choice("norm", norm, BALLS)
    starts, steps = check_count("starts", starts), check_count("steps", steps)
    tol, seed = check_share("tol", tol), check_seed(seed)
    point = objective.point(theta)
    most = starts * (steps + 1) + 3 * _EIGEN_MATVECS
    H = HessianOperator(objective, point, expected_matvecs=most) if hessian is None else hessian
    held = match_names(objective.layout.names, hold)
    ball, counted = ball_of(norm, objective.layout, update, held), _Counted(H, most, progress)
    eigs = _largest(counted, seed)
    gradient = widened(objective.gradient(point))
    found: list[_Point] = []
    for index in range(starts):
        start = _start(index, eigs, gradient, H, seed)
        found.append(_ascend(counted, ball, ball.farthest(start), steps=steps, tol=tol))
    best = max(found, key=lambda point: point.value)
    value = max(best.value, 0.0)
    upper, confidence = _from_above(counted, ball, eigs, best, seed)
    record = GeneralizedSharpness(
        norm=norm, value=value, upper=max(upper, value), confidence=confidence,
        samples=np.array([max(point.value, 0.0) for point in found]), dual_norm=ball.dual_norm(gradient),
        converged=best.settled or upper <= value * (1 + tol), num_matvecs=counted.done, seed=seed,
    )  # fmt: skip
    if strict and not record.converged:
        raise NotConverged(
            f"generalised sharpness ≥ {value:.4g}: after {steps} products the best ascent still promises more than "
            f"tol={tol:g} of it: raise steps. strict=False takes it for the lower bound that it is; the exception "
            "carries it as .partial",
            record,
        )
    return record


def ball_of(norm: str, layout: ParamLayout, update: OptimizerUpdate | None, held: Collection[str]) -> NormBall:
    """The ball of a norm, with radii from an update; tensors that are held fixed have none."""
    kind = BALLS[norm]
    ones = torch.ones(layout.size, dtype=torch.float64)
    u = ones if update is None else torch.from_numpy(update.without_decay)
    radii = [1.0 if update is None else kind.norm(piece) for piece in layout.split(u)]
    return kind(layout, [0.0 if name in held else r for name, r in zip(layout.names, radii, strict=True)])


@dataclass
class _Counted:
    """Products with H, counted."""

    H: LinearOperator
    most: int
    progress: Progress | None
    done: int = 0

    def __call__(self, v: Tensor) -> Tensor:
        self.count(1)
        return widened(self.H @ v.to(self.H.dtype))

    def count(self, products: int) -> None:
        self.done += products
        if self.progress is not None:
            self.progress(min(self.done, self.most), self.most)


@dataclass
class _Point:
    """A point of the ball, the product with it, ``dᵀHd``, and whether no point promises more."""

    d: Tensor
    pull: Tensor
    value: float
    settled: bool


def _largest(counted: _Counted, seed: int) -> Eigenpairs:
    most = min(_EIGEN_MATVECS, max(2, counted.H.dim + 8))
    eigs = top_eigenpairs(counted.H, 1, tol=_EIGEN_TOL, max_matvecs=most, seed=seed, strict=False)
    counted.count(eigs.num_matvecs)
    return eigs


def _start(index: int, eigs: Eigenpairs, gradient: Tensor, H: LinearOperator, seed: int) -> Tensor:
    """Where an ascent looks first."""
    if index == 0:
        return torch.from_numpy(np.ascontiguousarray(eigs.vectors[:, 0])).double().to(place_of_float64(H.device))
    if index == 1 and bool(gradient.any()):
        return gradient
    return probe(index, H.dim, seed=seed, kind="gaussian", device=place_of_float64(H.device))


def _ascend(H: _Counted, ball: NormBall, d: Tensor, *, steps: int, tol: float) -> _Point:
    """Frank and Wolfe's method with the exact step: on a line the quadratic has its largest value at an end, or inside
    where it bends down. Each step takes one product."""
    pull = H(d)
    value = float(d @ pull)
    for _ in range(steps):
        corner = ball.farthest(pull)
        way = corner - d
        gain = float(way @ pull)  # half the slope towards the corner
        if 2 * gain <= tol * abs(value):
            return _Point(d, pull, value, True)
        turned = H(corner) - pull
        bend = float(way @ turned)
        share = 1.0 if bend >= 0 else min(1.0, -gain / bend)
        d, pull = d + share * way, pull + share * turned
        value = float(d @ pull)
    gain = float((ball.farthest(pull) - d) @ pull)
    return _Point(d, pull, value, 2 * gain <= tol * abs(value))


def _from_above(H: _Counted, ball: NormBall, eigs: Eigenpairs, best: _Point, seed: int) -> tuple[float, float]:
    """The smallest of the upper bounds, and how sure it is."""
    bounds = [(value * ball.size, sure) for value, sure in [eigs.upper_bound or (math.inf, 1.0)]]
    for floor in FLOORS:
        weighted, total = ball.weighted(H.H, best.pull, floor)
        pairs = _largest(_Counted(weighted, H.most, None), seed)
        H.count(pairs.num_matvecs)
        if pairs.upper_bound is not None:
            bounds.append((pairs.upper_bound[0] * total, pairs.upper_bound[1]))
    # All hold but for the sum of what each may miss.
    missed = sum(1 - sure for _, sure in bounds)
    return max(min(value for value, _ in bounds), 0.0), max(1 - missed, 0.0)
