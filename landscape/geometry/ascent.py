"""The highest loss found in a ball: gradient ascent from several starts. What it finds is a lower bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.geometry.directions import gaussian
from landscape.objective import Objective

#: First step of each ascent in radii: long, so that on a convex bowl it nearly is a step of the power method, which
#: each failure shortens fourfold.
_FIRST_STEP = 8.0
#: An ascent has settled when no point of the ball promises more than this share of its rise, to first order. A rise
#: that only stopped growing is not settled: the steps may have been too long.
_SETTLED = 0.01


@dataclass
class Best:
    """The highest rise of the loss that one start led to, and whether it is a maximum to first order."""

    rise: float
    settled: bool


class Ball:
    """``{δ : ‖δ/c‖_p ≤ ρ}`` around θ, walked in the coordinates ``z = δ/c`` in which it is a plain ball.

    Where c is zero δ is zero and the coordinate z counts for nothing. Every evaluation is one loss and its gradient.

    Parameters
    ----------
    theta, scale : (P,) tensors
        Centre, and c: one, or ``|θ|``.
    p : float
        2 or infinity.
    tick : callable
        Called after each evaluation.
    """

    def __init__(
        self, objective: Objective, theta: Tensor, scale: Tensor, *, rho: float, p: float, tick: Callable[[], None]
    ) -> None:
        self.objective, self.theta, self.scale, self.rho, self.p = objective, theta, scale, rho, p
        self.inside, self._tick = (scale != 0).to(theta.dtype), tick
        self.num_evaluations = 0
        self.undefined = False
        self.base, self.slope = 0.0, torch.zeros_like(theta)
        self.base, self.slope = self.rise(torch.zeros_like(theta))

    def rise(self, z: Tensor) -> tuple[float, Tensor]:
        """``L(θ + c⊙z) − L(θ)`` and its gradient in z; one evaluation."""
        loss, gradient = self.objective.loss_and_gradient(self.theta + self.scale * z)
        self.num_evaluations += 1
        self.undefined = self.undefined or math.isnan(loss)
        self._tick()
        return loss - self.base, self.scale * gradient

    def unit(self, v: Tensor) -> Tensor:
        """v on the coordinates that count, at 2-norm 1; zero where v has nothing there."""
        v = v * self.inside
        size = float(torch.linalg.vector_norm(v))
        return v / size if size > 0 and math.isfinite(size) else torch.zeros_like(v)

    def farthest(self, v: Tensor) -> Tensor:
        """The point of the ball with the largest ``⟨v, z⟩``."""
        return self.rho * (v.sign() * self.inside if math.isinf(self.p) else self.unit(v))

    def project(self, z: Tensor) -> Tensor:
        """The nearest point of the ball."""
        if math.isinf(self.p):
            return z.clamp(-self.rho, self.rho)
        size = float(torch.linalg.vector_norm(z))
        return z * (self.rho / size) if size > self.rho else z

    def to_edge(self, v: Tensor) -> Tensor:
        """v made as long as the ball allows."""
        size = float(v.abs().max() if math.isinf(self.p) else torch.linalg.vector_norm(v))
        return v * (self.rho / size) if size > 0 else v

    def random_point(self, index: int, seed: int) -> Tensor:
        """Uniform in the ball: random point number ``index`` of the seed."""
        count = int(self.inside.sum())
        noise = gaussian(index, len(self.theta) + 1, seed=seed, family="sharpness").to(self.theta)
        z, share = noise[:-1], float(torch.special.ndtr(noise[-1]))
        if math.isinf(self.p):
            return self.rho * (2 * torch.special.ndtr(z) - 1) * self.inside
        return self.rho * share ** (1 / max(count, 1)) * self.unit(z)


def highest(ball: Ball, *, restarts: int, steps: int, seed: int) -> list[Best]:
    """The best of each start: the sharpest direction, the gradient, then random points.

    Costs ``steps·(restarts + 1) + 2`` evaluations, of which one gradient at θ was made with the ball.
    """
    found = [ascend(ball, *sharpest_point(ball, steps=steps, seed=seed), steps=steps)]
    for index in range(1, restarts):
        start = ball.farthest(ball.slope) if index == 1 else ball.random_point(index, seed)
        if not bool(start.any()):  # at an exact minimum the gradient points nowhere
            start = ball.random_point(index, seed)
        found.append(ascend(ball, start, *ball.rise(start), steps=steps - 1))
    return found


def ascend(ball: Ball, z: Tensor, rise: float, gradient: Tensor, *, steps: int) -> Best:
    """Projected ascent along the gradient's direction, accepting only what is higher."""
    length = _FIRST_STEP
    for _ in range(steps):
        if ball.undefined or math.isinf(rise):
            break
        trial = ball.project(z + length * ball.farthest(gradient))
        higher, new = ball.rise(trial)
        if higher > rise:
            z, rise, gradient = trial, higher, new
        else:
            length /= 4
    promised = float(gradient @ (ball.farthest(gradient) - z))
    return Best(rise, settled=not ball.undefined and (math.isinf(rise) or promised <= _SETTLED * abs(rise)))


def sharpest_point(ball: Ball, *, steps: int, seed: int) -> tuple[Tensor, float, Tensor]:
    """A point on the edge of the ball in the direction that bends most, with its rise and gradient.

    Lanczos on gradients alone: ``(g(z) − g(0))/‖z‖`` with z on the edge is the Hessian's product with ``z/‖z‖`` where
    the loss is quadratic, and where it is not, the curvature on the scale of the ball, which is what is asked for.
    Costs ``steps + 2`` evaluations.
    """
    start = gaussian(0, len(ball.theta), seed=seed, family="sharpness").to(ball.theta)
    v = ball.unit(ball.unit(start) + ball.unit(ball.slope))
    basis: list[Tensor] = []
    products: list[Tensor] = []
    for _ in range(steps):
        edge = ball.to_edge(v)
        _, gradient = ball.rise(edge)
        w = (gradient - ball.slope) / torch.linalg.vector_norm(edge)
        basis.append(v)
        products.append(w)
        if not bool(w.isfinite().all()):
            break
        V = torch.stack(basis, dim=1)
        rest = w - V @ (V.T @ w)
        rest = rest - V @ (V.T @ rest)
        if float(rest.norm()) <= 100 * torch.finfo(w.dtype).eps * float(w.norm()):
            break
        v = ball.unit(rest)
    V, W = torch.stack(basis, dim=1), torch.stack(products, dim=1)
    projected = (V.T @ W).cpu().double()
    if not bool(projected.isfinite().all()):
        top = basis[0]
    else:
        top = V @ torch.linalg.eigh((projected + projected.T) / 2)[1][:, -1].to(V)
    points = [ball.farthest(top), ball.farthest(-top)]
    rises = [ball.rise(z) for z in points]
    best = 0 if rises[0][0] >= rises[1][0] else 1
    return points[best], *rises[best]
