"""The highest loss found in a ball: gradient ascent from several starts. What it finds is a lower bound."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from landscape.estimators.krylov.projection import eigh, outside
from landscape.geometry.directions import gaussian

#: First step of each ascent in radii: long, so that on a convex bowl it nearly is a step of the power method.
_FIRST_STEP = 8.0
#: A step counts as higher that gains this share of what the slope along it promises.
_ENOUGH = 1e-4
#: An ascent has settled when no point of the ball promises more than this share of its rise, to first order. A rise
#: that only stopped growing is not settled: the steps may have been too long.
_SETTLED = 0.01
#: The best ascent goes on until that share is smaller still, for at most this many times the steps that each had.
AT_LAST, LONGER = 0.001, 8


class Question(Protocol):
    """What has a loss and a gradient at θ: an objective, or some of its examples."""

    def loss_and_gradient(self, theta: Tensor, /) -> tuple[float, Tensor]: ...


class Point(NamedTuple):
    """A point of the ball, with how much higher the loss is there, and its gradient by z."""

    z: Tensor
    rise: float
    gradient: Tensor


@dataclass
class Maximum:
    """The highest rise of the loss that each start led to, and whether the best is a maximum to first order."""

    rises: list[float]
    settled: bool

    @property
    def rise(self) -> float:
        return max(self.rises)


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
        self,
        objective: Question,
        theta: Tensor,
        scale: Tensor,
        *,
        rho: float,
        p: float,
        tick: Callable[[], None],
    ) -> None:
        self.objective, self.theta, self.scale, self.rho, self.p = objective, theta, scale, rho, p
        self.inside, self._tick = (scale != 0).to(theta.dtype), tick
        self.num_evaluations = 0
        self.undefined = False
        self.base, self.slope, self._tilt = 0.0, torch.zeros_like(theta), torch.zeros_like(theta)
        self.base, self.slope = self.rise(torch.zeros_like(theta))

    def seen_by(self, question: Question, *, at: Point, tick: Callable[[], None]) -> Ball:
        """The same ball as another question sees it, with a linear function added to that, so that rise and gradient
        at a point are as they are here; one evaluation of the other question."""
        twin = copy.copy(self)
        twin.objective, twin._tick, twin.num_evaluations, twin.base = question, tick, 0, 0.0
        rise, gradient = twin.rise(at.z)
        twin._tilt = at.gradient - gradient
        twin.base = rise + float(twin._tilt @ at.z) - at.rise
        return twin

    def point(self, z: Tensor) -> Point:
        """A point with its rise and gradient; one evaluation."""
        return Point(z, *self.rise(z))

    def settled(self, point: Point, within: float = _SETTLED) -> bool:
        """Whether it is a maximum to first order, within that share of its rise."""
        promised = float(point.gradient @ (self.farthest(point.gradient) - point.z))
        return not self.undefined and (math.isinf(point.rise) or promised <= within * abs(point.rise))

    def rise(self, z: Tensor) -> tuple[float, Tensor]:
        """``L(θ + c⊙z) − L(θ)`` and its gradient in z; one evaluation."""
        loss, gradient = self.objective.loss_and_gradient(self.theta + self.scale * z)
        self.num_evaluations += 1
        self.undefined = self.undefined or math.isnan(loss)
        self._tick()
        return loss - self.base + float(self._tilt @ z), self.scale * gradient + self._tilt

    def unit(self, v: Tensor) -> Tensor:
        """v on the coordinates that count, at 2-norm 1; zero where v has nothing there."""
        v = v * self.inside
        size = float(torch.linalg.vector_norm(v))
        return v / size if size > 0 and math.isfinite(size) else torch.zeros_like(v)

    def farthest(self, v: Tensor) -> Tensor:
        """The point of the ball with the largest ``⟨v, z⟩``."""
        return self.rho * (v.sign() * self.inside if math.isinf(self.p) else self.unit(v))

    def reach(self, gradient: Tensor) -> float:
        """The longest step along a gradient: of most coordinates far beyond the ball's edge, 0 for no gradient."""
        size = float(torch.linalg.vector_norm(gradient))
        return _FIRST_STEP * float(torch.linalg.vector_norm(self.farthest(gradient))) / size if size > 0 else 0.0

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
            point: Tensor = self.rho * (2 * torch.special.ndtr(z) - 1) * self.inside
        else:
            point = self.rho * share ** (1 / max(count, 1)) * self.unit(z)
        return point


def most_evaluations(restarts: int, steps: int) -> int:
    """What :func:`highest` and its ball may cost, one gradient at θ included."""
    return steps * (restarts + 1) + 3 + LONGER * steps


def highest(ball: Ball, *, restarts: int, steps: int, seed: int) -> Maximum:
    """The best of each start: the sharpest direction, the gradient, then random points; the best of all goes on.

    An ascent ends when it has settled, or after ``steps`` evaluations; that of the best after ``8·steps`` more.
    """
    best, rises = ascend(ball, sharpest_point(ball, steps=steps, seed=seed), steps=steps), []
    rises.append(best.rise)
    for index in range(1, restarts):
        found = ascend(ball, start_of(ball, index, seed), steps=steps - 1)
        rises.append(found.rise)
        best = max(best, found, key=lambda point: point.rise)
    last = ascend(ball, best, steps=LONGER * steps, within=AT_LAST)
    rises[rises.index(best.rise)] = last.rise
    return Maximum(rises, ball.settled(last))


def start_of(ball: Ball, index: int, seed: int) -> Point:
    """Where ascent ``index`` starts: 1 from the gradient, those after it from random points; one evaluation."""
    start = ball.farthest(ball.slope) if index == 1 else ball.random_point(index, seed)
    if not bool(start.any()):  # at an exact minimum the gradient points nowhere
        start = ball.random_point(index, seed)
    return ball.point(start)


def ascend(ball: Ball, start: Point, *, steps: int, within: float = _SETTLED) -> Point:
    """The highest point that spectral projected gradients reach until one is settled, in at most ``steps`` evaluations.

    A step is as long as the curvature along the last one says, is shortened until it is high enough, and may end below
    the point before, not below all of the last five: Birgin, Martínez, Raydan (2000), SIAM J. Optim. 10, algorithm 2.1.
    """
    here = best = start
    length = ball.reach(here.gradient)
    past = deque([here.rise], maxlen=5)
    while steps > 0 and not ball.undefined and not ball.settled(here, within):
        way = ball.project(here.z + length * here.gradient) - here.z
        slope, share = float(here.gradient @ way), 1.0
        if not math.isfinite(slope):  # a finite loss may have a gradient that is not
            break
        while steps > 0:
            there, steps = ball.point(here.z + share * way), steps - 1
            best = max(best, there, key=lambda point: point.rise)
            if not there.rise < min(past) + _ENOUGH * share * slope:
                break
            share /= 4
        step, bend = there.z - here.z, here.gradient - there.gradient
        curvature, longest = float(step @ bend), ball.reach(there.gradient)
        length = min(float(step @ step) / curvature, longest) if curvature > 0 else longest
        here = there
        past.append(here.rise)
    return best


def sharpest_point(ball: Ball, *, steps: int, seed: int) -> Point:
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
        rest = outside(w, V)
        if float(rest.norm()) <= 100 * torch.finfo(w.dtype).eps * float(w.norm()):
            break
        v = ball.unit(rest)
    V, W = torch.stack(basis, dim=1), torch.stack(products, dim=1)
    projected = (V.T @ W).cpu().double().numpy()
    finite = bool(np.isfinite(projected).all())
    top = V @ torch.as_tensor(eigh(projected)[1][:, -1]).to(V) if finite else basis[0]
    # Where rounding cancels to nothing, sign() would leave the middle of a face, from which no gradient leads away.
    top = torch.where(top == 0, torch.finfo(top.dtype).tiny, top)
    return max((ball.point(ball.farthest(v)) for v in (top, -top)), key=lambda point: point.rise)
