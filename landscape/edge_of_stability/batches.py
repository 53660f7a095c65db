"""Batch sharpness: the curvature of a batch's loss along that batch's own gradient, over batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_count, check_not_negative, check_seed, check_share
from landscape.device import widened
from landscape.errors import NotConverged, ObjectiveError, UsageError
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import Estimate

#: Batches without ``tol``, the limit with it, and batches before the first look.
NUM_BATCHES, MAX_BATCHES, _FIRST = 32, 1000, 16
#: So many deals of the data make their means the samples: batches of one deal hold no example in common, which makes
#: their mean more certain than that of as many independent ones.
_DEALS = 8
#: A batch's gradient and the product along it, in products with the Hessian of that batch.
_PRODUCTS = 1.5


def batch_sharpness(
    objective: Objective,
    *,
    batch_size: int,
    theta: Vector | None = None,
    num_batches: int | None = None,
    tol: float | None = None,
    atol: float = 0.0,
    max_batches: int = MAX_BATCHES,
    seed: int = 0,
    strict: bool = True,
    progress: Progress | None = None,
) -> Estimate:
    r"""Mean curvature of a batch's loss along its own gradient, over batches of B examples:

    .. math:: E_B\left[\frac{g_B^\top H_B\, g_B}{\|g_B\|^2}\right].

    In training by plain SGD it rises until it is about ``2/η``, while λ_max of all data stays below. With B = N it is
    the curvature along the gradient.

    Parameters
    ----------
    objective : Objective
        A mean over examples that can be picked.
    batch_size : int
        B, at most N.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    num_batches : int, optional
        Exactly so many; 32 if left out and no ``tol`` is asked for.
    tol, atol : float, optional
        Work until half the 95 % interval is at most ``max(tol·|value|, atol)``.
    max_batches : int
        Limit with ``tol``.
    seed : int
        Of the deals: the data are dealt into batches without replacement, then dealt anew.
    strict : bool
        Raise ``NotConverged`` where that limit ends the work; otherwise return what there is, marked.
    progress : callable, optional
        Called as ``progress(batches done, most)``.

    Returns
    -------
    Estimate
        Unbiased for the mean over all batches of B of these N examples. ``sem`` is over batches, or over whole deals
        where there are eight of them; batches of a deal share no example, so the former is more than the error where
        they are many. ``samples`` are what it is over. Batches whose gradient is zero have no such number, are left
        out, and are counted in ``method``.

    Raises
    ------
    NotConverged
        With the estimate as ``.partial``, if ``strict``.
    UsageError
        If B is above N, every gradient is zero, or one is not finite.
    ObjectiveError
        If the data cannot be cut into examples.

    Notes
    -----
    A batch costs its gradient and a product with its Hessian, about four gradients of B examples.

    References
    ----------
    Andreyev & Beneventano (2024), Edge of stochastic stability, arXiv:2412.20553, for the definition, the mean of
    ratios and not the ratio of means, and for 2/η. With
    momentum β: Andreyev et al. (2026), arXiv:2604.14108, ``2(1 − β)/η`` of small and ``2(1 + β)/η`` of large batches.

    Examples
    --------
    >>> x = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, torch.zeros(4, 1)))
    >>> found = batch_sharpness(objective, batch_size=1, num_batches=4)  # 2x² of each example: 2, 8, 2, 8
    >>> found.value, sorted(found.samples.tolist())
    (5.0, [2.0, 2.0, 8.0, 8.0])
    """
    size, seed = check_count("batch_size", batch_size), check_seed(seed)
    atol = check_not_negative("atol", atol)
    most = check_count("max_batches", max_batches, least=2)
    share = None if tol is None else check_share("tol", tol, hint="it is half the 95 % interval over the value")
    if size > objective.num_examples:
        raise UsageError(f"batch_size={size} is more than the {objective.num_examples} examples there are")
    if not objective.can_pick and size < objective.num_examples:
        raise ObjectiveError(
            "batch sharpness needs batches of single examples, and these data stay as they came; pass batch_size="
            f"{objective.num_examples}, of all of them, or an objective whose batches join"
        )
    draws = _Draws(objective, objective.point(theta), size, seed)
    if share is None and atol == 0:
        count = NUM_BATCHES if num_batches is None else check_count("num_batches", num_batches)
        for done in draws.until(count):
            if progress is not None:
                progress(done, count)
        return draws.estimate()
    if num_batches is not None:
        raise UsageError("num_batches= sets the work and tol= the accuracy; pass one of them")
    return _until(draws, share or 0.0, atol, most, strict=strict, progress=progress)


def _until(draws: _Draws, tol: float, atol: float, most: int, *, strict: bool, progress: Progress | None) -> Estimate:
    wanted = min(_FIRST, most)
    while True:
        for done in draws.until(wanted):
            if progress is not None:
                progress(done, most)
        found = draws.estimate()
        excess = found.reach() / max(tol * abs(found.value), atol, 1e-300)
        if excess <= 1:
            return found
        if wanted == most or draws.is_all:
            break
        wanted = min(most, math.ceil(wanted * min(max(excess**2, 1.15), 2.0)))
    found = replace(found, converged=False)
    if strict:
        raise NotConverged(
            f"batch sharpness {found} from {most} batches, wider than tol={tol:g} and atol={atol:g} ask for: raise "
            "max_batches or loosen them. strict=False takes it with its error; the exception carries it as .partial",
            found,
        )
    return found


@dataclass
class _Draws:
    """Batches dealt from the data, with what each gave."""

    objective: Objective
    theta: Tensor
    size: int
    seed: int

    def __post_init__(self) -> None:
        self._random = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(6, 0)))
        self._rows = np.empty(0, dtype=np.int64)
        self.values: list[float] = []

    @property
    def is_all(self) -> bool:
        """Whether one batch is all there is."""
        return self.size == self.objective.num_examples

    def until(self, count: int) -> Iterator[int]:
        """Batches until there are so many; of all data one is enough."""
        while len(self.values) < (1 if self.is_all else count):
            self.values.append(self._along_own_gradient(self._next()))
            yield len(self.values)

    def _next(self) -> Objective:
        if self.is_all:
            return self.objective
        if len(self._rows) < self.size:  # what is left of a deal is too little
            self._rows = self._random.permutation(self.objective.num_examples)
        rows, self._rows = self._rows[: self.size], self._rows[self.size :]
        return self.objective.subset(np.sort(rows))

    def _along_own_gradient(self, batch: Objective) -> float:
        gradient = batch.gradient(self.theta)
        length = float(torch.linalg.vector_norm(widened(gradient)))
        if not math.isfinite(length):
            raise UsageError("a batch's gradient is not finite; check the loss at this point, or compute in float64")
        if length == 0:
            return math.nan
        unit = widened(gradient) / length
        return float(unit @ widened(batch.hvp(unit.to(batch.dtype), self.theta)))

    def estimate(self) -> Estimate:
        """The mean with its error."""
        values = np.array(self.values)
        defined = values[np.isfinite(values)]
        if not len(defined):
            raise UsageError(
                f"the gradients of all {len(values)} batches are zero: there is no direction for a curvature"
            )
        cost = len(values) * self.size / self.objective.num_examples * _PRODUCTS
        empty = len(values) - len(defined)
        said = f"batch sharpness of {len(values)} batches of {self.size}" + (
            f", {empty} without a gradient left out" if empty else ""
        )
        if self.is_all:
            reach = self.objective.resolution * abs(float(defined[0]))
            return Estimate(
                float(defined[0]), bound=reach, method="batch sharpness, one batch of all data", products=cost
            )
        each = self.objective.num_examples // self.size
        deals, over = len(values) // each, "batches"
        samples = defined
        if each > 1 and deals >= _DEALS and not empty:
            samples, over = values[: deals * each].reshape(deals, each).mean(1), f"{deals} deals"
        sem = float(samples.std(ddof=1)) / math.sqrt(len(samples)) if len(samples) > 1 else None
        return Estimate(
            float(samples.mean()), sem=sem, samples=samples, seed=self.seed, method=f"{said}, error over {over}",
            products=cost,
        )  # fmt: skip
