"""H = G + R of an objective: sums over examples of either, exact or of examples and probes drawn together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape import hvp
from landscape.errors import ObjectiveError
from landscape.objective import Objective, Vector
from landscape.objective.functional import Parts
from landscape.operators.split.factor import Factor, maker
from landscape.operators.split.gradients import PerExample, single_output
from landscape.operators.split.residual import ResidualParts, in_place_of, slope

Array = np.ndarray
#: A random sign vector (P,) by its number.
Probe = Callable[[int], Tensor]

#: In example-products, each of which is two gradients or six losses of an example.
FORWARD, BACKWARD = 1 / 6, 1 / 3
#: Examples that share a probe where they are drawn; the fewer, the less is left to chance, and the slower.
CELL = 32
#: Examples on which it is tried that gradients are Jᵀ∂ℓ/∂z.
_FEW = 8
_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}


class CurvatureSplit:
    r"""``H = G + R``: the Gauss-Newton matrix, and what is left, the Hessian of :math:`\langle s, z(\theta)\rangle` with
    the slope :math:`s = \partial\ell/\partial z` of the loss by the outputs held fixed.

    At a trained minimum the slopes are small, so that R is, and probes have little noise in it; G is a sum of squares
    of gradients of single examples, of which nothing is left to probes. Whatever is asked for comes as its part in each
    tensor of θ, (K,), whose sum is the trace; or with ``entries=True`` in each parameter, (P,), which is the diagonal.

    Parameters
    ----------
    objective : Objective
        Whose loss says where the model ends, on examples that can be cut.
    theta : (P,) tensor or array, optional

    Attributes
    ----------
    work : float
        Examples multiplied by so far (a gradient is half an example-product, a loss a sixth).
    way : str
        How gradients of single examples are made; see :class:`PerExample`.

    Raises
    ------
    ObjectiveError
        Where there is no such split: ``from_loss``, several outputs, interacting examples, a loss that reads θ itself.

    References
    ----------
    Schraudolph (2002), Neural Computation 14(7), eq. 10, for G and R. Goodfellow (2015), arXiv:1510.01799. Dangel,
    Kunstner & Hennig (2020), BackPACK, ICLR, section 2.2, for diagonals of G.
    """

    def __init__(self, objective: Objective, theta: Vector | None = None) -> None:
        if objective.interacting or objective.batches.joined is None or objective.mode == "train":
            raise ObjectiveError("examples cannot be taken one by one: batches stay as they came")
        if not objective.module.is_separable:
            raise ObjectiveError("the objective was made by from_loss, which does not say where the model ends")
        self.objective, self.theta = objective, objective.point(theta)
        self.layout, self.num_examples = objective.layout, objective.num_examples
        self.work = 0.0
        self._parts, few = objective.parts(), objective.on_first(_FEW)
        self._check_reads_no_theta(few)
        self._gradients = PerExample(self._parts, self.theta, few=few.parts())
        self.way = self._gradients.way
        with few.parts().borrowed():
            self._maker = maker(*self._loss_of(few.parts(), 0))
        self._product: hvp.Product | None = None
        self._total_weight = sum(objective.weigh(batch) for batch in objective.batches.cut(objective.chunk))

    @cached_property
    def num_columns(self) -> int:
        """Backward passes over the data in which G is exact."""
        few = self.objective.on_first(1).parts()
        with few.borrowed():
            return self._maker(*self._loss_of(few, 0)).num_columns

    def exact_work(self) -> float:
        """Example-products for G exactly."""
        return self.num_examples * (FORWARD + BACKWARD * self.num_columns)

    def gauss_newton(self, *, entries: bool = False) -> Array:
        """What G has of it, to rounding, from ``num_columns`` backward passes over the data."""
        total = np.zeros(self.layout.size if entries else len(self.layout.names))
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                total += share * self._of_chunk(self._gradients, self._parts, index, entries=entries)
        self.work += self.exact_work()
        return total

    def residual(self, probe: Probe, first: int, *, entries: bool = False) -> Array:
        """One unbiased sample of what R has of it, from one pass: each chunk has a probe of its own, from ``first`` on."""
        product = self._whole_residual
        total = np.zeros(self.layout.size if entries else len(self.layout.names))
        for index, share in enumerate(self._parts.shares):
            z = probe(first + index)
            total += share * self._reduce(z * product.of_chunk(index, z), entries)
        self.work += self.num_examples
        return total

    @property
    def num_chunks(self) -> int:
        """Probes that a pass takes."""
        return len(self._parts.shares)

    def drawn_gauss_newton(self, count: int, rng: np.random.Generator, *, entries: bool = False) -> Array:
        """An unbiased sample from ``count`` examples, drawn as often as G can be there, and of each one column of B."""
        rows, factors = _systematic(self._sizes[0], count, rng)
        part, parts, weights = self._drawn(rows, self.objective.chunk or len(rows))
        gradients, total, first = self._gradients.on(parts), np.zeros(self._width(entries)), 0
        with parts.borrowed():
            for index in range(len(parts.shares)):
                found = gradients.record(index)
                factor = self._maker(*self._loss_of(parts, index, found.output))
                u, signs = factor.draw(rng)
                scale = torch.from_numpy(factors[first : first + found.count]) * weights[index]
                first += found.count
                total += self._summed(gradients, found, u, signs.double().cpu() * scale, entries)
        self.work += part.num_examples * (FORWARD + BACKWARD)
        return total

    def drawn_residual(
        self, count: int, rng: np.random.Generator, probe: Probe, first: int, *, entries: bool = False
    ) -> Array:
        """An unbiased sample from ``count`` examples, drawn by their slopes; each ``CELL`` of them have one probe."""
        rows, factors = _systematic(self._sizes[1], count, rng)
        order = rng.permutation(len(rows))  # neighbours are alike; those of a cell need not be
        rows, factors = rows[order], factors[order]
        part, parts, weights = self._drawn(rows, CELL)
        cells = np.split(factors, np.arange(CELL, len(rows), CELL))
        scales = [torch.from_numpy(own) * weight for own, weight in zip(cells, weights, strict=True)]
        left = ResidualParts(parts, self.theta, scales)
        product = hvp.on_other_data(self._cell_product(left), left, self.theta)
        total = np.zeros(self._width(entries))
        for index in range(len(parts.shares)):
            z = probe(first + index)
            total += self._reduce(z * product.of_chunk(index, z), entries)
        self.work += part.num_examples * (1 + FORWARD)
        return total

    def num_cells(self, count: int) -> int:
        """Probes that ``count`` drawn examples take."""
        return -(-count // CELL)

    @cached_property
    def _whole_residual(self) -> hvp.Product:
        return hvp.make(ResidualParts(self._parts, self.theta), self.theta, expected_matvecs=8)[0]

    @cached_property
    def _sizes(self) -> tuple[Array, Array]:
        """How much G and R can have of each example, (N,) each: tr B and ‖s‖, from one pass forward over the data."""
        curvature, slopes = [], []
        tensors = self.layout.split(self.theta)
        with self._parts.borrowed():
            for index, share in enumerate(self._parts.shares):
                loss_of, f = self._loss_of(self._parts, index)
                curvature.append(share * self._maker(loss_of, f).sizes().numpy())
                point = f.clone().requires_grad_()
                with torch.enable_grad():
                    loss = loss_of(point)
                    (s,) = torch.autograd.grad(loss, point) if loss.requires_grad else (torch.zeros_like(point),)
                slopes.append(share * s.double().flatten(1).norm(dim=1).cpu().numpy())
        del tensors
        self.work += self.num_examples * FORWARD
        return np.concatenate(curvature), np.concatenate(slopes)

    def _cell_product(self, parts: ResidualParts) -> hvp.Product:
        """What was planned for the first cells, to be used for others."""
        if self._product is None:
            self._product = hvp.make(parts, self.theta, expected_matvecs=4)[0]
        return self._product

    def _drawn(self, rows: Array, chunk: int) -> tuple[Objective, Parts, list[float]]:
        """The objective on these examples, and by what a chunk's mean is multiplied to be a part of the whole sum."""
        part = self.objective.on_batches([self.objective.batches.pick(rows)]).rechunked(chunk)
        pieces = part.batches.cut(chunk)
        weights = [part.weigh(piece) / self._total_weight for piece in pieces]
        if min(weights) <= 0:
            raise ObjectiveError("examples without weight were drawn")  # they have no slope and no curvature
        return part, part.parts(), weights

    def _of_chunk(self, gradients: PerExample, parts: Parts, index: int, *, entries: bool) -> Array:
        found = gradients.record(index)
        factor = self._maker(*self._loss_of(parts, index, found.output))
        total = np.zeros(self._width(entries))
        for u, signs in factor.columns():
            total += self._summed(gradients, found, u, signs.double().cpu(), entries)
        return total

    def _summed(self, gradients: PerExample, found: object, u: Tensor, signs: Tensor, entries: bool) -> Array:
        if entries:
            return gradients.squares(found, u, signs).double().cpu().numpy()  # type: ignore[arg-type]
        return (gradients.norms(found, u) @ signs).numpy()  # type: ignore[arg-type]

    def _width(self, entries: bool) -> int:
        return self.layout.size if entries else len(self.layout.names)

    def _reduce(self, products: Tensor, entries: bool) -> Array:
        products = products.double().cpu()
        if entries:
            return products.numpy()
        return np.array([float(piece.sum()) for piece in self.layout.split(products)])

    def _loss_of(self, parts: Parts, index: int, output: Tensor | None = None) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The mean loss of a chunk as a function of its outputs, and these."""
        chunk = parts.chunk(index)
        with torch.no_grad():
            found = parts.outputs(chunk, self.layout.split(self.theta)) if output is None else output
        single = single_output(found)
        if output is not None:  # with a graph already; what else the model returns is not needed by the loss
            found = single
        return (lambda f: parts.loss_of(in_place_of(found, single, f), chunk)), single.detach()

    def _check_reads_no_theta(self, few: Objective) -> None:
        """∇L = Jᵀ∂ℓ/∂z, here and nearby: a penalty inside the loss would be in neither G nor R."""
        parts, generator = few.parts(), torch.Generator().manual_seed(0)
        noise = torch.randn(self.theta.shape, generator=generator, dtype=torch.float64).to(self.theta)
        aside = self.theta + 0.01 * max(float(self.theta.norm()), 1.0) / float(noise.norm()) * noise
        for point in (self.theta, aside):
            truth = hvp.loss_and_gradient(parts, point)[1]
            tensors = self.layout.split(point)
            with parts.borrowed():
                r = slope(parts, 0, tensors)
            ours = hvp.loss_and_gradient(_Linear(parts, r), point)[1]
            size = max(float(truth.norm()), float(ours.norm()))
            if not float((truth - ours).norm()) <= _AGREEMENT[self.theta.dtype] * size:
                raise ObjectiveError("the loss reads the parameters itself, beside the model's outputs")


class _Linear(ResidualParts):
    """⟨r, z(θ)⟩ of one chunk with given slopes."""

    def __init__(self, parts: Parts, slopes: Tensor) -> None:
        super().__init__(parts, torch.zeros(parts.layout.size))
        self._kept = {0: slopes}
        self.shares = [1.0]


def _systematic(sizes: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """``count`` examples, each expected as often as its size says, and by what each is multiplied: ``1/(count π)``.

    Systematic along the sizes in order (Madow 1949): as if stratified by them. One start is one draw; several
    independent draws show the spread.
    """
    total = float(sizes.sum())
    if not total > 0:
        rows = np.arange(min(count, len(sizes)))
        return rows, np.zeros(len(rows))
    order = np.argsort(sizes, kind="stable")
    heights = np.cumsum(sizes[order])
    places = (rng.random() + np.arange(count)) / count * heights[-1]
    rows = order[np.minimum(np.searchsorted(heights, places, side="right"), len(sizes) - 1)]
    return rows, heights[-1] / (count * sizes[rows])
