"""Chains that walk around θ by the law of the tempered posterior, by stochastic gradients.

The density is ``exp(−nβL(w) − γ/2‖w − θ‖²)``. A step of length ε follows half its logarithm's gradient and adds noise,

    w ← w − ε/2·(nβ∇L(w) + γ(w − θ)) + √ε·(z + z')/2,

where z and z' are standard normal and z' is the z of the next step. With z alone (SGLD) a quadratic of curvature h is
too wide by ``1/(1 − εh/4)``; the mean of two neighbours makes it exact for every ε that is stable, εh < 4. (Leimkuhler
& Matthews 2013.)

On batches the gradient is that of all data at θ plus the difference that the batch sees between w and θ, which is small
where w is near: unbiased as the plain one, with far less noise (Baker, Fearnhead, Fox, Nemeth 2019). The rise of the
loss is read from the same batch, before the step that it moves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError
from landscape.estimators import top_eigenpairs
from landscape.objective import Objective
from landscape.objective.functional import Parts
from landscape.operators import HessianOperator

#: Streams of random numbers that begin with it are of no other part of this package.
_STREAM = 6
#: Of λ_max, which sets the length of steps, so much is enough, and so many products at most.
_TOLERANCE, _MOST_PRODUCTS = 0.05, 60


@dataclass(frozen=True)
class Walk:
    """What all chains have in common.

    Attributes
    ----------
    theta : (P,) tensor
        Where they begin, and what holds them.
    loss, gradient : float, (P,) tensor
        Of all data there.
    strength : float
        nβ.
    localization, step_size : float
        γ and ε.
    batch_size : int
        Examples of a step; N for all.
    spend : callable
        ``spend(cost)`` after each evaluation, in gradients over all data.
    """

    objective: Objective
    theta: Tensor
    loss: float
    gradient: Tensor
    strength: float
    localization: float
    step_size: float
    batch_size: int
    spend: Callable[[float], None]

    @property
    def is_whole(self) -> bool:
        """Whether each step is of all data."""
        return self.batch_size >= self.objective.num_examples

    def rise_and_slope(self, w: Tensor, random: np.random.Generator) -> tuple[float, Tensor]:
        """``L(w) − L(θ)`` and ``∇L(w)``, or what a batch says of both."""
        if self.is_whole:
            loss, gradient = self._of_all(w)
            self.spend(1.0)
            return loss - self.loss, gradient
        rows = random.choice(self.objective.num_examples, self.batch_size, replace=False)
        part = self.objective.subset(np.sort(rows))
        there, slope = part.loss_and_gradient(w)
        here, slope_here = part.loss_and_gradient(self.theta)
        self.spend(2 * self.batch_size / self.objective.num_examples)
        return there - here, slope - slope_here + self.gradient

    @cached_property
    def parts(self) -> Parts:
        """L as its chunks; borrowed as long as a chain goes, for small models are called sooner than prepared."""
        return self.objective.parts()

    def _of_all(self, w: Tensor) -> tuple[float, Tensor]:
        leaves = [tensor.detach().requires_grad_() for tensor in self.objective.layout.split(w)]
        total, gradient = 0.0, torch.zeros_like(w)
        with torch.enable_grad():
            for index, share in enumerate(self.parts.shares):
                loss = self.parts.part(index, leaves)
                total += share * float(loss.detach())
                pieces = torch.autograd.grad(loss, leaves, allow_unused=True)
                pairs = zip(pieces, leaves, strict=True)
                flat = [torch.zeros_like(t).reshape(-1) if g is None else g.reshape(-1) for g, t in pairs]
                gradient.add_(torch.cat(flat), alpha=share)
        return total, gradient


@dataclass
class Curvature:
    """How sharply the logarithm of the density bends: ``h = nβλ_max + γ``, of the Hessian at some points."""

    objective: Objective
    theta: Tensor
    strength: float
    localization: float
    seed: int

    def __post_init__(self) -> None:
        self._hessian = HessianOperator(self.objective, self.theta)

    def largest(self, points: Sequence[Tensor]) -> float:
        """h at the sharpest of these points (P,); NaN where one is no point any more."""
        found = []
        for point in points:
            if not bool(torch.isfinite(point).all()):
                return math.nan
            try:
                pairs = top_eigenpairs(
                    self._hessian.at(point), 1, which="largest", tol=_TOLERANCE, max_matvecs=_MOST_PRODUCTS,
                    seed=self.seed, strict=False,
                )  # fmt: skip
            except LandscapeError:  # a point at which there is no curvature to be had
                return math.nan
            found.append(0.0 if pairs.largest is None else max(pairs.largest.value, 0.0))
        return self.strength * max(found) + self.localization


@dataclass
class Chain:
    """One walk, and the rises of the loss on its way; it ends where one is no number."""

    walk: Walk
    number: int
    seed: int
    rises: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        state = np.random.SeedSequence(self.seed, spawn_key=(_STREAM, self.number))
        batches, noise = state.spawn(2)
        self._batches = np.random.default_rng(batches)
        self._noise = torch.Generator().manual_seed(int(noise.generate_state(1, np.uint64)[0]) >> 1)
        self._w, self._z = self.walk.theta.clone(), self._normal()

    @property
    def is_finite(self) -> bool:
        """Whether it still walks."""
        return not self.rises or math.isfinite(self.rises[-1])

    def go(self, steps: int) -> None:
        """So many steps more; the rise at each point is noted before the step from there."""
        walk, half = self.walk, self.walk.step_size / 2
        with walk.parts.borrowed():
            for _ in range(steps):
                if not self.is_finite:
                    return
                rise, slope = walk.rise_and_slope(self._w, self._batches)
                self.rises.append(rise)
                z = self._normal()
                pull = walk.strength * slope + walk.localization * (self._w - walk.theta)
                self._w = self._w - half * pull + math.sqrt(walk.step_size) / 2 * (self._z + z)
                self._z = z

    @property
    def place(self) -> Tensor:
        """Where it stands."""
        return self._w

    def _normal(self) -> Tensor:
        theta = self.walk.theta
        return torch.randn(theta.shape, generator=self._noise, dtype=theta.dtype).to(theta.device)
