"""The parts of a Hessian that are sums over examples: what each has of trace or diagonal, in all or in drawn ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.objective import Objective
from landscape.objective.functional import Parts
from landscape.operators.by_example.drawing import Chances, Drawing, Probe, Run, Sample, pick
from landscape.operators.by_example.factor import Factor, LossOf, maker
from landscape.operators.by_example.gradients import PerExample, Recorded, single_output
from landscape.operators.by_example.layers import rows_of
from landscape.operators.by_example.residual import in_place_of, slope_at

Array = np.ndarray

#: In example-products: a product with the Hessian of one example, which is two gradients, or six losses.
FORWARD, BACKWARD = 1 / 6, 1 / 3
#: Examples so few that each of them is in every sample.
FEW_EXAMPLES = 16
#: Gradients of that many examples are made at once, at most.
MOST_AT_ONCE = 512


class Term(ABC):
    """One part of a Hessian.

    Attributes
    ----------
    name : str
    each : float
        Example-products for each example that is drawn.
    cell : int
        Examples are drawn by multiples of it.
    work : float
        Example-products so far.
    """

    name: str
    each: float
    cell = 1

    def __init__(self, objective: Objective, theta: Tensor, *, entries: bool) -> None:
        self.objective, self.theta, self.entries, self.work = objective, theta, entries, 0.0
        self.layout = objective.layout
        self._drawing = Drawing(objective)

    @property
    @abstractmethod
    def sizes(self) -> Array:
        """How much of it can be in each example, (N,); where it is 0 there is none."""

    @abstractmethod
    def samples(self, samples: Sequence[Sample]) -> Array:
        """Unbiased samples, made together: (R, K) by tensor of θ, or (R, P) with ``entries``.

        What a sample is depends on nothing but its own examples, factors and chance.
        """

    def sample(self, count: int, rng: np.random.Generator, probe: Probe) -> Sample:
        """``count`` examples to be one sample, drawn by size."""
        return Sample(*pick(self.sizes, count, rng), rng, probe)

    @property
    def is_of_few(self) -> bool:
        """Whether examples are so few that each of them is in every sample."""
        return self.objective.num_examples <= FEW_EXAMPLES

    @property
    def exact_work(self) -> float:
        """Example-products to have it exactly."""
        return float("inf")

    def exact(self) -> Array:
        """All of it, to rounding."""
        raise NotImplementedError

    @property
    def width(self) -> int:
        """K or P."""
        return self.layout.size if self.entries else len(self.layout.names)

    def _reduced(self, products: Tensor) -> Array:
        """``z ⊙ Hz`` (P,) as it is, or summed by tensor."""
        products = widened(products).cpu()
        if self.entries:
            return products.numpy()
        return np.array([float(piece.sum()) for piece in self.layout.split(products)])


class Outputs:
    """The loss as a function of a chunk's outputs, and what one pass over the data says of each example."""

    def __init__(self, objective: Objective, theta: Tensor, few: Objective) -> None:
        self.objective, self.theta, self.work = objective, theta, 0.0
        parts = few.parts()
        with parts.borrowed():
            loss_of, f = self.loss_of(parts, 0)
            self._maker = maker(loss_of, f)
            self.num_columns = self._maker(loss_of, f).num_columns

    def loss_of(self, parts: Parts, index: int, output: Tensor | None = None) -> tuple[LossOf, Tensor]:
        """The mean loss of a chunk as a function of its outputs, and these."""
        chunk = parts.chunk(index)
        found = output
        if found is None:
            with torch.no_grad():
                found = parts.outputs(chunk, self.objective.layout.split(self.theta))
        single = single_output(found)
        return (lambda f: parts.loss_of(in_place_of(found, single, f), chunk)), single.detach()

    def factor(self, parts: Parts, index: int, output: Tensor | None = None) -> Factor:
        """The loss's curvature on a chunk."""
        return self._maker(*self.loss_of(parts, index, output))

    @cached_property
    def sizes(self) -> tuple[Array, Array]:
        """tr B and ‖s‖ of each example, (N,) each, by their share of the loss; one loss over the data."""
        curvature, slopes = [], []
        parts = self.objective.parts()
        with parts.borrowed():
            for index, share in enumerate(parts.shares):
                loss_of, f = self.loss_of(parts, index)
                curvature.append(share * self._maker(loss_of, f).sizes().numpy())
                slopes.append(share * rows_of(widened(slope_at(loss_of, f))).norm(dim=1).cpu().numpy())
        self.work += self.objective.num_examples * FORWARD
        return np.concatenate(curvature), np.concatenate(slopes)


class GaussNewtonTerm(Term):
    r"""G: ``Σ_n ‖J_nᵀs‖²`` over the columns s of the loss's curvature at each example; no probe in it.

    Where examples are drawn, so is one column of each (for tokens, one of each token, with random signs).
    """

    name = "G"
    each = FORWARD + BACKWARD

    def __init__(self, outputs: Outputs, gradients: PerExample, *, entries: bool) -> None:
        super().__init__(outputs.objective, outputs.theta, entries=entries)
        self._outputs, self._gradients = outputs, gradients

    @property
    def sizes(self) -> Array:
        return self._outputs.sizes[0]

    @property
    def exact_work(self) -> float:
        return self.objective.num_examples * (FORWARD + BACKWARD * self._outputs.num_columns)

    def exact(self) -> Array:
        parts, total = self.objective.parts(), np.zeros(self.width)
        gradients = self._gradients.on(parts)
        with parts.borrowed():
            for index, share in enumerate(parts.shares):
                found = gradients.record(index)
                for u, signs in self._outputs.factor(parts, index, found.output).columns():
                    total += share * self._summed(gradients, found, u, widened(signs).cpu())
        self.work += self.exact_work
        return total

    def samples(self, samples: Sequence[Sample]) -> Array:
        chunk = min(self.objective.chunk or MOST_AT_ONCE, MOST_AT_ONCE, sum(len(s.rows) for s in samples))
        drawn, total = self._drawing.on(samples, chunk), np.zeros((len(samples), self.width))
        gradients = self._gradients.on(drawn.parts)
        with drawn.parts.borrowed():
            for index, (factors, runs) in enumerate(zip(drawn.factors, drawn.runs, strict=True)):
                found = gradients.record(index)
                factor = self._outputs.factor(drawn.parts, index, found.output)
                u, signs = factor.draw(Chances(samples, runs).uniform)
                self._add(total, runs, gradients, found, u, widened(signs).cpu() * factors)
        self.work += drawn.count * self.each
        return total

    def _add(
        self, total: Array, runs: Sequence[Run], gradients: PerExample, found: Recorded, u: Tensor, signs: Tensor
    ) -> None:
        """What the examples of a chunk add to the sample that each is of."""
        if self.entries:
            squares = gradients.squares_of(found, u, signs, [run.rows for run in runs])
            for run, own in zip(runs, squares, strict=True):
                total[run.sample] += widened(own).cpu().numpy()
            return
        norms = (gradients.norms(found, u) * signs).numpy()
        for run in runs:
            total[run.sample] += norms[:, run.rows].sum(1)

    def _summed(self, gradients: PerExample, found: Recorded, u: Tensor, signs: Tensor) -> Array:
        if self.entries:
            return widened(gradients.squares(found, u, signs)).cpu().numpy()
        return (gradients.norms(found, u) @ signs).numpy()
