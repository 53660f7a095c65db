r"""An operator on a part of the data: the examples that bend, drawn so that over draws the mean is that of all data.

The Hessian of a mean is a mean over examples, :math:`H = \sum_i w_i H_i`. At a trained minimum few :math:`H_i`
are large. A draw that takes example i with probability :math:`p_i` and counts it :math:`1/p_i` times has
mean H whatever the :math:`p_i` are, and little variance where they grow with the size of :math:`H_i` (Horvitz and
Thompson 1952, J. Am. Stat. Assoc. 47). That size is read from one gradient by example, along the output in which its
loss bends most; by the second derivative by the outputs alone, without the Jacobian, draws may err several times as
much.
The largest examples are all taken, once each; the others lie in strata of similar size, from each of which equally many
are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from landscape import hvp
from landscape.device import widened
from landscape.errors import LandscapeError, ObjectiveError, UsageError
from landscape.objective import Objective
from landscape.objective.functional import Parts
from landscape.operators.base import LinearOperator
from landscape.operators.by_example.gradients import PerExample
from landscape.operators.by_example.layers import rows_of
from landscape.operators.by_example.sums import FEW
from landscape.operators.hessian import HessianOperator
from landscape.operators.parametric import ParametricOperator

if TYPE_CHECKING:
    from landscape.distributed import Group

#: Of the mean size, added to each: an example that bends only through the model must be drawn now and then too.
_FLOOR = 0.05
#: Strata of those that are not all taken; steps to the largest eigenvector.
_STRATA, _POWER_STEPS = 4, 3
#: Products that are expected with a core.
_PRODUCTS = 30


@dataclass(frozen=True)
class Draw:
    """Examples by stratum: their numbers, and how many of all each stands for; and what to expect of the draw.

    ``error`` is the standard deviation of the total of the sizes, relative to it, if each were drawn by itself: what
    the operator of the draw differs from that of all data by is a few times as much, relative to its largest
    eigenvalue.
    """

    strata: tuple[tuple[np.ndarray, float], ...]
    error: float

    @property
    def size(self) -> int:
        """Examples drawn."""
        return sum(len(rows) for rows, _ in self.strata)


def can_be_cut(H: LinearOperator) -> bool:
    """Whether the operator is a mean over examples of which some can be picked."""
    return isinstance(H, ParametricOperator) and H.objective.can_pick


def example_sizes(objective: Objective, theta: Tensor) -> np.ndarray | None:
    """How much each example bends the loss (N,), in a unit common to all; None where that cannot be told.

    For example i with outputs f, Jacobian J and second derivative A of its loss by f: ``‖JᵀAa‖²/aᵀAa``, with a near the
    largest eigenvector of A. Where one or two outputs compete that is nearly the trace of JᵀAJ. Costs a loss, and one
    gradient for each example by itself.
    """
    if not objective.module.is_separable:
        return None
    parts = objective.parts()
    try:
        gradients = PerExample(parts, theta, few=objective.on_first(FEW).parts())
        if gradients.way == "one by one":
            return None
        with parts.borrowed():
            sizes = np.concatenate([_bending(gradients, parts, i) for i in range(len(parts.shares))])
    except (LandscapeError, RuntimeError, NotImplementedError, TypeError, ValueError):
        return None
    usable = len(sizes) == objective.num_examples and bool(np.isfinite(sizes).all()) and sizes.sum() > 0
    return sizes if usable else None


def _bending(gradients: PerExample, parts: Parts, index: int) -> np.ndarray:
    """The sizes of one chunk's examples."""
    found = gradients.record(index)
    bent, along = _largest_curvature(parts, parts.chunk(index), found.output.detach())
    squares = gradients.norms(found, bent).sum(0)
    along = widened(along).cpu()
    sizes = squares / along.clamp_min(torch.finfo(torch.float64).tiny)
    # The loss of a chunk is a mean: its share undoes that, for chunks of other lengths.
    scaled: np.ndarray = torch.where(along > 0, sizes, 0.0).numpy() * parts.shares[index]
    return scaled


def _largest_curvature(parts: Any, chunk: Any, f: Tensor) -> tuple[Tensor, Tensor]:
    """``Aa`` of the shape of the outputs f, and ``aᵀAa`` by example, after a few steps of the power method."""
    point = f.clone().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(parts.loss_of(point, chunk), point, create_graph=True)
        # From the gradient, turned a little: where it is zero, or orthogonal to what is looked for.
        tilt = torch.linspace(-1, 1, f[0].numel()).to(f).view_as(f[0])
        bent = _at_length_one(slope.detach()) + 1e-2 * tilt
        for _ in range(_POWER_STEPS):
            a = _at_length_one(bent)
            (bent,) = torch.autograd.grad(slope, point, a, retain_graph=True)
    return bent.detach(), rows_of(a * bent).sum(1).detach()


def _at_length_one(t: Tensor) -> Tensor:
    """Each example's tensor at length 1, or zero."""
    lengths = rows_of(t).norm(dim=1).view(-1, *[1] * (t.ndim - 1))
    return torch.where(lengths > 0, t / lengths, 0.0)


def draw_core(sizes: np.ndarray, count: int, *, seed: int = 0) -> Draw:
    """About ``count`` examples, those of large size more likely; all of those that would be drawn more than once.

    Examples
    --------
    >>> draw = draw_core(np.r_[np.full(3, 1e3), np.ones(97)], 13)
    >>> draw.strata[0][0].tolist(), round(sum(len(rows) * stands_for for rows, stands_for in draw.strata))
    ([0, 1, 2], 100)
    """
    sizes = sizes + _FLOOR * sizes.mean()
    chances = _chances(sizes, min(count, len(sizes)))
    rng, certain = np.random.default_rng(seed), chances >= 1 - 1e-9
    order = np.argsort(-sizes, kind="stable")
    rest = order[~certain[order]]
    strata = [(np.flatnonzero(certain), 1.0)] if certain.any() else []
    if len(rest):
        expected = np.cumsum(chances[rest])
        edges = np.searchsorted(expected, expected[-1] * np.arange(1, _STRATA) / _STRATA)
        for members in np.split(rest, edges):
            if len(members):
                number = min(max(round(chances[members].sum()), 1), len(members))
                rows = np.sort(rng.permutation(members)[:number])
                strata.append((rows, len(members) / number))
    error = float(np.sqrt((sizes**2 * (1 / chances - 1)).sum()) / sizes.sum())
    return Draw(tuple(strata), error)


def _chances(sizes: np.ndarray, count: int) -> np.ndarray:
    """Chances (N,) proportional to the sizes, at most 1, that add up to ``count``."""
    chances: np.ndarray = np.minimum(1.0, count * sizes / sizes.sum())
    for _ in range(100):
        certain = chances >= 1
        left = count - int(certain.sum())
        if left <= 0 or certain.all():
            break
        again = np.where(certain, 1.0, np.minimum(1.0, left * sizes / sizes[~certain].sum()))
        if np.array_equal(again, chances):
            break
        chances = again
    positive: np.ndarray = np.maximum(chances, np.finfo(float).tiny)
    return positive


class CoreOperator(LinearOperator):
    """A symmetric operator of an objective on a draw of its examples, each counted for as many as it stands for.

    Over the draw its mean is the operator on all data.

    Parameters
    ----------
    H : ParametricOperator
        On all data: a Hessian, Gauss-Newton or Fisher matrix.
    draw : Draw

    Attributes
    ----------
    share : float
        Examples drawn, of all: what a product costs, as a share of one with H.
    error : float
        That of the draw.

    Raises
    ------
    UsageError
        If single examples cannot be picked from the data, or the loss is no mean over them.
    """

    def __init__(self, H: ParametricOperator, draw: Draw) -> None:
        if not can_be_cut(H):
            raise UsageError(
                "a core takes a Hessian, Gauss-Newton or Fisher operator whose data join to one tensor per input, in "
                f'mode="eval", with a loss that is a mean over examples; this {type(H).__name__} is not one'
            )
        super().__init__(H.dim, dtype=H.dtype, device=H.device)
        objective = H.objective
        self._resolution = H.resolution
        self.share, self.error = draw.size / objective.num_examples, draw.error
        self._terms: list[tuple[float, LinearOperator]] = []
        for rows, stands_for in draw.strata:
            picked = objective.batches.pick(rows)
            weight = objective.weigh(picked)
            if weight > 0:
                on_these = self._on(H, rows, len(rows) / draw.size)
                self._terms.append((stands_for * weight / objective.total_weight, on_these))

    def _on(self, H: ParametricOperator, rows: np.ndarray, share: float) -> LinearOperator:
        """The operator on some examples, which are this share of those drawn and of the memory."""
        part = H.objective.subset(rows)
        if not isinstance(H, HessianOperator):
            return H._like(part, H.theta)
        # What is compiled is compiled for chunks of one length: not worth it for a few products. What does not fit of
        # all data may fit of these.
        route = "auto" if H.route.startswith("compiled") else hvp.keeping(H.route)
        settings: dict[str, Any] = {"memory": max(int(share * H._memory), 1), "expected_matvecs": _PRODUCTS}
        try:
            return HessianOperator(part, H.theta, route=route, **settings)
        except ObjectiveError:
            # Examples that hardly bend are rounding in float32, of which two routes make different numbers.
            return HessianOperator(part, H.theta, route="auto", **settings)

    @property
    def resolution(self) -> float:
        """That of H."""
        return self._resolution

    @property
    def group(self) -> Group | None:
        """That of any stratum."""
        return next((H.group for _, H in self._terms if H.group is not None), None)

    def _matvec(self, v: Tensor) -> Tensor:
        return torch.stack([weight * H._matvec(v) for weight, H in self._terms]).sum(0)

    def _matmat(self, V: Tensor) -> Tensor:
        return torch.stack([weight * H._matmat(V) for weight, H in self._terms]).sum(0)
