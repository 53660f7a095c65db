"""Data-sampling error: the same quantity on disjoint subsets of the data."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_count, check_not_negative, check_positive, check_seed, check_share
from landscape.errors import NotConverged, UsageError
from landscape.objective import Objective, Vector
from landscape.results import Estimate, SamplingSpread

#: Of ``gradient_noise`` with ``tol`` and no other limit.
DEFAULT_GRADIENTS = 100.0
#: Examples of a small batch, how many make a sample, and samples before the first look.
_SMALL, _TOGETHER, _FIRST = 16, 8, 12

Quantity = Callable[[Objective], "float | Estimate"]


def over_subsets(
    objective: Objective,
    quantity: Quantity,
    *,
    num_subsets: int = 4,
    size: int | None = None,
    full: float | Estimate | None = None,
    seed: int = 0,
) -> SamplingSpread:
    r"""How much a quantity depends on which examples there are, apart from the noise of its probes.

    The data are split at random into S disjoint subsets of n examples, and the quantity is measured on each:

    .. math:: \text{error of the value on all } N = \sqrt{n/N}\;\cdot\;\text{standard deviation over subsets}.

    It holds for smooth functions of means over independent examples, at parameters that do not depend on them; the bias
    of fewer examples, of order 1/n, is ``shift``, and no part of the error (docs/accuracy.md).

    Parameters
    ----------
    objective : Objective
    quantity : callable
        ``quantity(objective on a subset)`` gives a number or an Estimate, which brings its probe noise and its seed:
        where seeds differ between subsets, probe noise is independent and is taken out of the spread; where all have
        one seed, they share their probes, whose noise cancels.
    num_subsets : int
        S, at least 2. The error itself is known to within ``1/√(2(S − 1))``: 41 % with 4, 24 % with 10.
    size : int, optional
        n; left out, ⌊N/S⌋. Smaller ones are cheaper and further from N.
    full : float or Estimate, optional
        The value on all data, where it is known already; left out, ``quantity(objective)``.
    seed : int
        Of the split.

    Returns
    -------
    SamplingSpread
        From S measurements on n examples each, for n = N/S about the cost of one on all of them, and that one.

    Raises
    ------
    UsageError
        If the subsets do not fit into the data, or the quantity gives something else.
    ObjectiveError
        If the data cannot be cut into examples.

    References
    ----------
    Politis, Romano & Wolf (1999), Subsampling, ch. 2. Efron & Tibshirani (1993), An Introduction to the Bootstrap,
    ch. 5 and 6, for standard errors of smooth functions of means.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, x))
    >>> spread = over_subsets(objective, lambda part: part.hvp(torch.ones(1)).item(), num_subsets=2)
    >>> spread.full, spread.subset_size
    (5.0, 2)
    """
    S, N = check_count("num_subsets", num_subsets, least=2, hint="one has no spread"), objective.num_examples
    seed = check_seed(seed)
    n = N // S if size is None else check_count("size", size)
    if n < 1 or S * n > N:
        raise UsageError(
            f"{S} disjoint subsets of {max(n, 1)} examples do not fit into {N}; take fewer or smaller ones"
        )
    order = np.random.default_rng(seed).permutation(N)
    # In the order of the data: the result is then that of the subset, not of the shuffle.
    measured = [quantity(objective.subset(np.sort(order[i * n : (i + 1) * n]))) for i in range(S)]
    values, sems = (np.array(column) for column in zip(*map(_value_and_sem, measured), strict=True))
    full_value, full_sem = _value_and_sem(quantity(objective) if full is None else full)
    seeds = [m.seed for m in measured if isinstance(m, Estimate)]
    return SamplingSpread(
        values=values,
        sems=sems,
        subset_size=n,
        num_examples=N,
        full=full_value,
        full_sem=full_sem,
        fresh_probes=len(seeds) == S and len(set(seeds)) == S,
        seed=seed,
    )


def gradient_noise(
    objective: Objective,
    *,
    batch_size: int,
    theta: Vector | None = None,
    tol: float | None = None,
    atol: float = 0.0,
    max_gradients: float | None = None,
    seed: int = 0,
    strict: bool = True,
) -> Estimate:
    r"""Mean squared distance of a minibatch gradient from the gradient over all data, :math:`E‖g_B − g‖²`.

    The data are dealt at random into disjoint batches of B; of a random batch the expectation is

    .. math:: E‖g_B − g‖² = \frac{\operatorname{tr} Σ}{B}\left(1 − \frac BN\right),

    with Σ the covariance (N − 1 in its denominator) of the gradients of single examples. Divided by ``‖g‖²`` it is the
    noise-to-signal ratio of a step; times ``B/(1 − B/N)``, tr Σ.

    Parameters
    ----------
    objective : Objective
        A mean over examples.
    batch_size : int
        B, at most N/2.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    tol, atol : float, optional
        Work until half the 95 % interval is at most ``max(tol·|value|, atol)``: tr Σ is then measured on random parts
        of the data, by how far the gradients of eight disjoint batches of up to 16 examples lie apart, which needs no
        gradient over all data and does not grow with N. The interval is for all N examples.
    max_gradients : float, optional
        Limit with ``tol``, in gradients over all data; 100 if left out.
    seed : int
        Of the deal.
    strict : bool
        Raise ``NotConverged`` where that limit ends the work; otherwise return what there is, marked.

    Returns
    -------
    Estimate
        Unbiased. ``sem`` is over the ⌊N/B⌋ batches, ``samples`` their squared distances; costs two gradients over all
        data. With ``tol`` over groups of batches, and ``method`` says what they cost.

    Raises
    ------
    NotConverged
        With the estimate as ``.partial``, if ``strict``.
    UsageError
        If there are not at least two batches.
    ObjectiveError
        If the data cannot be cut into examples.

    References
    ----------
    McCandlish, Kaplan, Amodei et al. (2018), An empirical model of large-batch training, arXiv:1812.06162, appendix A.
    """
    batch_size, seed = check_count("batch_size", batch_size), check_seed(seed)
    count = objective.num_examples // batch_size
    if count < 2:
        raise UsageError(f"batch_size={batch_size} gives {count} batch of {objective.num_examples} examples; need two")
    check_not_negative("atol", atol)
    if tol is not None or atol > 0:
        share = 0.0 if tol is None else check_share("tol", tol, hint="it is half the 95 % interval over the value")
        most = DEFAULT_GRADIENTS if max_gradients is None else check_positive("max_gradients", max_gradients)
        return _noise_until(objective, theta, batch_size, seed, goal=(share, atol, most), strict=strict)
    if max_gradients is not None:
        raise UsageError("max_gradients= limits tol=; without tol the work is two gradients over all data")
    order = np.random.default_rng(seed).permutation(objective.num_examples)
    gradient = objective.gradient(theta)
    batches = (np.sort(order[i * batch_size : (i + 1) * batch_size]) for i in range(count))
    apart = (objective.subset(b).gradient(theta) - gradient for b in batches)
    samples = np.array([float(difference.double().square().sum()) for difference in apart])
    sem = float(samples.std(ddof=1)) / math.sqrt(count)
    return Estimate(
        float(samples.mean()), sem=sem, samples=samples, seed=seed, method=f"{count} batches of {batch_size}"
    )


def _noise_until(
    objective: Objective,
    theta: Vector | None,
    batch_size: int,
    seed: int,
    *,
    goal: tuple[float, float, float],
    strict: bool,
) -> Estimate:
    """Blocks of small disjoint batches, until the interval is short enough."""
    tol, atol, most = goal
    N = objective.num_examples
    size = max(1, min(_SMALL, N // _TOGETHER))
    together = min(_TOGETHER, N // size)
    scale = (1 - batch_size / N) / batch_size * size
    point, random = objective.point(theta), np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(5, 0)))
    rows, samples, wanted = np.empty(0, dtype=np.int64), np.empty(0), _FIRST
    while True:
        while len(samples) < wanted:
            cost = (len(samples) + 1) * together * size / N
            if len(samples) >= 2 and cost > most:
                return _ended(samples, size, together, N, seed, goal, strict)
            if len(rows) < together * size:  # what is left of a deal is too little
                rows = random.permutation(N)
            block, rows = rows[: together * size], rows[together * size :]
            samples = np.append(samples, scale * _variance(objective, point, block.reshape(together, size)))
            if not math.isfinite(samples[-1]):
                raise UsageError("a gradient is not finite; check the loss at this point, or compute in float64")
        found = _of_blocks(samples, size, together, N, seed)
        excess = found.reach() / max(tol * abs(found.value), atol, 1e-300)
        if excess <= 1:
            return found
        wanted = math.ceil(len(samples) * min(max(excess**2, 1.15), 2.0))


def _variance(objective: Objective, theta: Tensor, batches: np.ndarray) -> float:
    """``Σ ‖gⱼ − ḡ‖² / (n − 1)`` of the gradients of n batches, the rows of (n, b)."""
    mean, apart = torch.zeros(len(theta), dtype=torch.float64, device=theta.device), 0.0
    for j, rows in enumerate(batches, 1):
        gradient = objective.subset(np.sort(rows)).gradient(theta).double()
        away = gradient - mean
        mean += away / j
        apart += float(away @ (gradient - mean))
    return apart / (len(batches) - 1)


def _of_blocks(samples: np.ndarray, size: int, together: int, total: int, seed: int) -> Estimate:
    count = len(samples)
    cost = count * size * together / total
    return Estimate(
        float(samples.mean()), sem=float(samples.std(ddof=1)) / math.sqrt(count), samples=samples, seed=seed,
        method=f"{count} times {together} batches of {size}, {cost:.3g} gradients over all data",
    )  # fmt: skip


def _ended(
    samples: np.ndarray, size: int, together: int, total: int, seed: int, goal: tuple[float, float, float], strict: bool
) -> Estimate:
    """What there is where the limit was met."""
    tol, atol, most = goal
    found = _of_blocks(samples, size, together, total, seed)
    if found.reach() <= max(tol * abs(found.value), atol):
        return found
    found = replace(found, converged=False)
    if strict:
        raise NotConverged(
            f"gradient noise {found} from {most:g} gradients over all data, wider than tol={tol:g} and atol={atol:g} "
            "ask for: raise max_gradients or loosen them. strict=False takes it with its error; the exception carries "
            "it as .partial",
            found,
        )
    return found


def _value_and_sem(measured: float | Estimate) -> tuple[float, float]:
    try:
        value = float(measured)
    except (TypeError, ValueError):
        raise UsageError(
            f"quantity gave {type(measured).__name__}; it must give a number or an Estimate, such as trace(...)"
        ) from None
    if not math.isfinite(value):
        raise UsageError(f"quantity gave {value}; a spread needs finite values")
    return value, float(measured.sem or 0.0) if isinstance(measured, Estimate) else 0.0
