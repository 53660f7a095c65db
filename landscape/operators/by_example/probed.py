"""The terms of a Hessian of which probes are multiplied: R = H − G, and H itself where nothing says what G is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from torch import Tensor

from landscape import hvp
from landscape.hvp.product import first_chunk
from landscape.objective import Objective
from landscape.operators.by_example.drawing import Drawn, Probe, Sample
from landscape.operators.by_example.residual import ResidualParts
from landscape.operators.by_example.terms import FORWARD, MOST_AT_ONCE, Array, Outputs, Term

#: Drawn examples that share a probe; the fewer, the less is left to chance, and the slower. Of few examples, of which
#: each is heavy where it matters, there are at least so many cells.
CELL, CELLS = 16, 8
#: Products for which the way to multiply is chosen: of cells, of which each is multiplied once, and of few examples.
OF_CELLS, OF_FEW = 4, 20


class _ByProbes(Term):
    """A term of which probes are multiplied; each cell of drawn examples has one of its own.

    Few examples are one cell, the same for every probe, so that what is kept of one product serves the next.
    """

    each = 1.0

    def __init__(self, objective: Objective, theta: Tensor, *, entries: bool) -> None:
        super().__init__(objective, theta, entries=entries)
        self.cell = max(1, min(CELL, objective.chunk or CELL, objective.num_examples // CELLS))
        if self.is_of_few:
            self.cell = objective.num_examples
        self._product: hvp.Product | None = None

    def sample(self, count: int, rng: np.random.Generator, probe: Probe) -> Sample:
        if not self.is_of_few:
            return super().sample(count, rng, probe)
        times = max(1, count // self.cell)
        return Sample(np.tile(np.arange(self.cell), times), np.full(self.cell * times, 1 / times), rng, probe)

    def samples(self, samples: Sequence[Sample]) -> Array:
        return self._of_all(samples) if self.is_of_few else self._of_cells(samples)

    def _of_all(self, samples: Sequence[Sample]) -> Array:
        if self._product is None:
            loss, memory = self._loss_on_all(), hvp.allowed(None, self.theta.device) // 2  # beside the Hessian's own
            self._product = hvp.make(loss, self.theta, memory=memory, expected_matvecs=OF_FEW)[0]
        total = np.zeros((len(samples), self.width))
        for own, sample in zip(total, samples, strict=True):
            times = len(sample.rows) // self.cell
            for index in range(times):
                z = sample.probe(index).to(self.theta)
                own += self._reduced(z * self._product(z)) / times
            self.work += len(sample.rows) * self.each
        return total

    def _of_cells(self, samples: Sequence[Sample]) -> Array:
        (count,) = {len(sample.rows) for sample in samples}
        cell = max(size for size in range(1, self.cell + 1) if count % size == 0)
        total = np.zeros((len(samples), self.width))
        drawn = self._drawing.on(samples, cell)
        loss, scales = self._loss_on(drawn, samples)
        if self._product is None:  # planned on the first cell, for all that follow
            self._product = hvp.make(first_chunk(loss), self.theta, expected_matvecs=OF_CELLS)[0]
        product = hvp.on_other_data(self._product, loss, self.theta)
        places = [0] * len(samples)
        for index, (scale, (run,)) in enumerate(zip(scales, drawn.runs, strict=True)):
            z = samples[run.sample].probe(places[run.sample]).to(self.theta)
            places[run.sample] += 1
            total[run.sample] += scale * self._reduced(z * product.of_chunk(index, z))
        self.work += drawn.count * self.each
        return total

    @abstractmethod
    def _loss_on(self, drawn: Drawn, samples: Sequence[Sample]) -> tuple[hvp.LossParts, list[float]]:
        """What is differentiated on the cells, and by what each product is multiplied."""

    @abstractmethod
    def _loss_on_all(self) -> hvp.LossParts:
        """What is differentiated on all examples."""


class ResidualTerm(_ByProbes):
    """R = H − G, the second derivative of ⟨s, z(θ)⟩ with the slopes s held fixed; examples are drawn by them."""

    name = "R"
    each = 1 + FORWARD

    def __init__(self, outputs: Outputs, *, entries: bool) -> None:
        super().__init__(outputs.objective, outputs.theta, entries=entries)
        self._outputs = outputs

    @property
    def sizes(self) -> Array:
        return self._outputs.sizes[1]

    def _loss_on(self, drawn: Drawn, samples: Sequence[Sample]) -> tuple[hvp.LossParts, list[float]]:
        most = min(self.objective.chunk or MOST_AT_ONCE, MOST_AT_ONCE) // drawn.chunk * drawn.chunk
        slopes = drawn if most <= drawn.chunk else self._drawing.on(samples, most)
        return ResidualParts(drawn.parts, self.theta, slopes), [1.0] * len(drawn.factors)

    def _loss_on_all(self) -> hvp.LossParts:
        return ResidualParts(self.objective.parts(), self.theta)


class HessianTerm(_ByProbes):
    """All of H, where nothing says where the model ends: examples that have a weight are drawn alike."""

    name = "H"

    @cached_property
    def sizes(self) -> Array:
        objective = self.objective
        if not objective.weighs_examples:
            return np.ones(objective.num_examples)
        pieces = objective.batches.cut(1)
        return np.array([float(objective.weigh(piece) > 0) for piece in pieces])

    def _loss_on(self, drawn: Drawn, samples: Sequence[Sample]) -> tuple[hvp.LossParts, list[float]]:
        return drawn.parts, [float(factors[0]) for factors in drawn.factors]

    def _loss_on_all(self) -> hvp.LossParts:
        return self.objective.parts()
