"""A parabola over a half-plane, in two variables: the constraint left out, built into the variables, or paid for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from landscape.checks import check_choice, check_count, check_finite, check_not_negative, check_positive, check_seed
from landscape.errors import UsageError
from landscape.problems.base import Examples, Problem
from landscape.problems.builtin.constrained import METHODS
from landscape.problems.chart import Chart
from landscape.problems.recipe import Recipe

#: How far starts lie apart: of logarithms across the constraint, of distances along it.
SPREAD = 0.3
#: Names of what the problem measures by itself.
TO_SOLUTION, TO_MINIMUM, VIOLATION = "distance to the solution", "distance to its own minimum", "violation"


@dataclass(frozen=True)
class HalfPlane:
    """½(x − c)ᵀH(x − c) subject to aᵀx ≥ 0, and what is known of it in closed form; float64.

    Attributes
    ----------
    H : (2, 2) tensor
    c, a : (2,) tensors
        a has length 1.
    """

    H: Tensor
    c: Tensor
    a: Tensor

    @property
    def along(self) -> Tensor:
        """(2,) of length 1, along the boundary."""
        return torch.stack([-self.a[1], self.a[0]])

    @property
    def is_active(self) -> bool:
        """Whether the constraint keeps the solution from c."""
        return float(self.a @ self.c) < 0

    @property
    def _bent(self) -> tuple[Tensor, float]:
        """H⁻¹a, and aᵀH⁻¹a."""
        direction = torch.linalg.solve(self.H, self.a)
        return direction, float(self.a @ direction)

    @property
    def multiplier(self) -> float:
        """μ ≥ 0 of the Karush–Kuhn–Tucker conditions: H(x − c) = μa at the solution."""
        return max(-float(self.a @ self.c), 0.0) / self._bent[1]

    def minimum(self, method: str, penalty: float) -> Tensor:
        """(2,) where x is at the minimum of what is trained; with ``"square"`` that is the solution."""
        direction, length = self._bent
        if method == "none" or not self.is_active:
            return self.c
        share = 1.0 if method == "square" else penalty * length / (1 + penalty * length)
        return self.c + share * self.multiplier * direction

    @property
    def solution(self) -> Tensor:
        """(2,)"""
        return self.minimum("square", 0.0)

    def condition(self, method: str, penalty: float) -> float:
        """λ₁/λ₂ of the Hessian at that minimum, by the parameters of the model."""
        if method == "square":
            across = math.sqrt(max(float(self.a @ self.c), 0.0))
            J = torch.stack([2 * across * self.a, self.along], dim=1)
            hessian = J.T @ self.H @ J
            hessian[0, 0] += 2 * self.multiplier  # ∇L·x″, which the gradient across the boundary leaves
        else:
            paid = penalty if method == "penalty" and self.is_active else 0.0
            hessian = self.H + paid * torch.outer(self.a, self.a)
        low, high = torch.linalg.eigvalsh(hessian).tolist()
        return float(high / low)


class Point(nn.Module):
    """Two numbers w; the output is x = w, or x = w₁²a + w₂t, on the admissible side whatever they are."""

    axes: Tensor

    def __init__(self, across: float, along: float, half: HalfPlane, *, squared: bool) -> None:
        super().__init__()
        self._squared = squared
        self.register_buffer("axes", torch.stack([half.a, half.along]).float(), persistent=False)
        own = torch.tensor([math.sqrt(across), along]) if squared else torch.tensor([across, along]) @ self.axes
        self.w = nn.Parameter(own)

    @property
    def x(self) -> Tensor:
        """The variable of the problem, (2,)."""
        if not self._squared:
            return self.w
        return torch.stack([self.w[0].square(), self.w[1]]) @ self.axes

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (N, 1), of which only the number counts → x for each of them, (N, 2)."""
        return self.x.expand(len(rows), 2)


def half_plane(
    *,
    c: Sequence[float] = (-1.5, 0.5),
    method: str = "none",
    penalty: float = 10.0,
    curvatures: Sequence[float] = (1.0, 4.0),
    angle: float = 45.0,
    noise: float = 0.0,
    num_examples: int = 32,
    start: Sequence[float] = (1.0, 2.0),
    data_seed: int = 0,
) -> Problem:
    """Minimise the mean of ``½(x − cᵢ)ᵀH(x − cᵢ)``, H = diag(curvatures), over the half-plane aᵀx ≥ 0.

    The constraint is active where aᵀc < 0. The cᵢ are c, with errors of standard deviation ``noise`` that sum to zero.
    The solution, the minimum of each way to treat the constraint and the condition of the Hessian there are known
    (``problem.known``); the problem measures how far x is from the first two, and how far outside.

    Parameters
    ----------
    c : (float, float)
    method : {"none", "square", "penalty"}
        Nothing is done about it; x = w₁²a + w₂t with t along the boundary; ``½·penalty · min(aᵀx, 0)²`` is added. Where
        the constraint is active that leaves x outside by ``−aᵀc/(1 + penalty·aᵀH⁻¹a)``, and adds penalty·aaᵀ to H: the
        larger the nearer, and the worse conditioned.
    angle : float
        Of a = (cos, sin), in degrees.
    start : (float, float)
        x of a fresh model is about here, with a spread by seed; the same for all methods.

    References
    ----------
    Nocedal & Wright (2006), Numerical Optimization: quadratic penalties.
    """
    check_choice("method", method, METHODS)
    check_count("num_examples", num_examples)
    check_seed(data_seed, name="data_seed")
    check_positive("penalty", penalty)
    check_not_negative("noise", noise)
    half = _half_plane(c, curvatures, angle)
    begin = _pair("start", start)
    if float(half.a @ begin) <= 0:
        raise UsageError(f"start={tuple(start)!r} must lie where the constraint holds, cos·x₁ + sin·x₂ > 0")
    generator = torch.Generator().manual_seed(data_seed)

    def draw() -> Examples:
        errors = noise * torch.randn(num_examples, 2, generator=generator)
        return torch.zeros(num_examples, 1), half.c.float() + errors - errors.mean(0)

    def build() -> nn.Module:
        draws = SPREAD * torch.randn(2)
        across, along = float(half.a @ begin), float(half.along @ begin)
        return Point(across * float(draws[0].exp()), along + float(draws[1]), half, squared=method == "square")

    minimum = half.minimum(method, penalty)
    weights = torch.diagonal(half.H).float()
    return Problem(
        build=build,
        loss_fn=lambda x, ci: 0.5 * (weights.to(x) * (x - ci).square()).sum(1).mean(),
        loss_name="½(x − c)ᵀH(x − c)",
        train=draw(),
        test=draw(),
        regularizer=partial(_penalty, penalty) if method == "penalty" else None,
        measures=partial(_measures, half, minimum),
        known={
            "spectral_ratio": half.condition(method, penalty),
            TO_SOLUTION: float((minimum - half.solution).norm()),
            VIOLATION: max(0.0, -float(half.a @ minimum)),
        },
        chart=Chart(
            axes=("x₁", "x₂"),
            place=_place,
            loss=lambda points: 0.5 * ((points - half.c) @ half.H * (points - half.c)).sum(1),
            room=lambda points: points @ half.a,
            solution=(float(half.solution[0]), float(half.solution[1])),
        ),
        recipe=Recipe("gd", batch_size=8, epochs=50, full_batch_epochs=200, learning_rates={"gd": 0.02, "sgd": 0.02}),
    )


def _half_plane(c: Sequence[float], curvatures: Sequence[float], angle: float) -> HalfPlane:
    bends = _pair("curvatures", curvatures)
    if float(bends.min()) <= 0:
        raise UsageError(f"curvatures={tuple(curvatures)!r} must both be positive")
    turn = math.radians(check_finite("angle", angle))
    half = HalfPlane(torch.diag(bends), _pair("c", c), torch.tensor([math.cos(turn), math.sin(turn)]).double())
    if abs(float(half.a @ half.c)) < 1e-6:
        raise UsageError(f"c={tuple(c)!r} lies on the boundary, where the constraint is neither active nor inactive")
    return half


def _pair(name: str, values: Sequence[float]) -> Tensor:
    if not isinstance(values, Sequence) or len(values) != 2:
        raise UsageError(f"{name}={values!r} must be two numbers")
    return torch.tensor([check_finite(name, value) for value in values], dtype=torch.float64)


def _penalty(penalty: float, model: nn.Module) -> Tensor:
    assert isinstance(model, Point)
    outside = (model.axes[0] @ model.x).clamp(max=0.0)
    return 0.5 * penalty * outside.square()


def _place(model: nn.Module) -> Tensor:
    assert isinstance(model, Point)
    return model.x.detach().double().cpu()


def _measures(half: HalfPlane, minimum: Tensor, model: nn.Module, split: str) -> dict[str, float]:
    """On the training data alone: on others the same x stands at the same place."""
    if split != "train":
        return {}
    x = _place(model)
    return {
        TO_SOLUTION: float((x - half.solution).norm()),
        TO_MINIMUM: float((x - minimum).norm()),
        VIOLATION: max(0.0, -float(half.a @ x)),
    }
