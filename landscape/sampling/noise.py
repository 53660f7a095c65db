"""The noise of a batch's gradient: how far it lies from that over all data, and at which batch size that matters."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_count, check_not_negative, check_positive, check_seed, check_share
from landscape.device import place_of_float64, widened
from landscape.errors import NotConverged, UsageError
from landscape.objective import Objective, Vector
from landscape.results import Estimate

#: Of ``gradient_noise`` with ``tol`` and no other limit.
DEFAULT_GRADIENTS = 100.0
#: Examples of a small batch, how many make a sample, and samples before the first look.
_SMALL, _TOGETHER, _FIRST = 16, 8, 12
#: Of fewer batches the error is not known, for they are parts of one whole.
_FEWEST = 4
#: Batches of which the noise scale is made, or more; what a pass over the data by gradients costs, in products.
_BATCHES, _ONE_PASS = 64, 0.5


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
    _check_two(batch_size, objective.num_examples)
    check_not_negative("atol", atol)
    if tol is not None or atol > 0:
        share = 0.0 if tol is None else check_share("tol", tol, hint="it is half the 95 % interval over the value")
        most = DEFAULT_GRADIENTS if max_gradients is None else check_positive("max_gradients", max_gradients)
        return _noise_until(objective, theta, batch_size, seed, goal=(share, atol, most), strict=strict)
    if max_gradients is not None:
        raise UsageError("max_gradients= limits tol=; without tol the work is two gradients over all data")
    samples = _distances(objective, theta, objective.gradient(theta), batch_size, seed)
    count = len(samples)
    # Two halves of the data lie equally far from their mean.
    sem = None if 2 * batch_size == objective.num_examples else float(samples.std(ddof=1)) / math.sqrt(count)
    return Estimate(
        float(samples.mean()), sem=sem, samples=samples, seed=seed, method=f"{count} batches of {batch_size}"
    )


def gradient_noise_scale(
    objective: Objective,
    *,
    theta: Vector | None = None,
    gradient: Vector | None = None,
    batch_size: int | None = None,
    seed: int = 0,
) -> Estimate:
    r"""``tr Σ/‖g‖²``: the batch size at which the noise of a batch's gradient is about as long as the gradient.

    Σ is the covariance of the gradients of single examples. Far smaller batches go mostly at random; far larger ones
    cost more examples for the same progress. Unlike :func:`gradient_noise` it is a property of the point alone.

    Parameters
    ----------
    objective : Objective
        A mean over examples.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    gradient : (P,) tensor or array, optional
        g there, where it is known.
    batch_size : int, optional
        Examples of the batches it is measured with, at most N/2; left out, such that there are 64 batches or more. It
        moves the error, not what is estimated.
    seed : int
        Of the deal.

    Returns
    -------
    Estimate
        In examples, unbiased for these N. ``sem`` is over the ⌊N/B⌋ batches of one deal, where they are four or more,
        ``samples`` what each gives; with batches of one example all are taken, and the value has no error but rounding.
        Infinite where the gradient is zero.

    Raises
    ------
    UsageError
        If there are not at least two batches, or a gradient is not finite.
    ObjectiveError
        If the data cannot be cut into examples.

    Notes
    -----
    Costs a gradient over all data in batches, and that over all data where it is not given.

    References
    ----------
    McCandlish, Kaplan, Amodei et al. (2018), An empirical model of large-batch training, arXiv:1812.06162, section 2.2:
    the simple noise scale.

    Examples
    --------
    >>> import torch
    >>> x = torch.tensor([[1.0], [2.0], [1.0], [2.0]])
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 1.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, torch.zeros(4, 1)))
    >>> round(gradient_noise_scale(objective).value, 6)  # gradients 2, 8, 2, 8: their variance 12 over their mean² 25
    0.48
    """
    N, seed = objective.num_examples, check_seed(seed)
    size = max(1, N // _BATCHES) if batch_size is None else check_count("batch_size", batch_size)
    _check_two(size, N)
    g = objective.gradient(theta) if gradient is None else objective.point(gradient)
    squared = float(widened(g).square().sum())
    apart = _distances(objective, theta, g, size, seed) * size / (1 - size / N)
    if not (math.isfinite(squared) and np.isfinite(apart).all()):
        raise UsageError("a gradient is not finite; check the loss at this point, or compute in float64")
    said = f"tr Σ/‖g‖², {len(apart)} batches of {size}"
    if squared == 0:
        return Estimate(math.inf, method=f"{said}; the gradient is zero", seed=seed, products=_ONE_PASS)
    samples = apart / squared
    value = float(samples.mean())
    if size == 1:
        return Estimate(
            value, bound=8 * objective.resolution * value, method="tr Σ/‖g‖², all examples", products=_ONE_PASS
        )
    sem = float(samples.std(ddof=1)) / math.sqrt(len(samples)) if len(samples) >= _FEWEST else None
    return Estimate(value, sem=sem, samples=samples, seed=seed, method=said, products=_ONE_PASS)


def _check_two(batch_size: int, total: int) -> None:
    if (count := total // batch_size) < 2:
        raise UsageError(f"batch_size={batch_size} gives {count} batch of {total} examples; need two")


def _distances(objective: Objective, theta: Vector | None, gradient: Tensor, size: int, seed: int) -> np.ndarray:
    """``‖g_B − g‖²`` of all disjoint batches of one deal."""
    order = np.random.default_rng(seed).permutation(objective.num_examples)
    count = objective.num_examples // size
    batches = (np.sort(order[i * size : (i + 1) * size]) for i in range(count))
    apart = (objective.subset(b).gradient(theta) - gradient for b in batches)
    return np.array([float(widened(difference).square().sum()) for difference in apart])


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
    mean, apart = torch.zeros(len(theta), dtype=torch.float64, device=place_of_float64(theta.device)), 0.0
    for j, rows in enumerate(batches, 1):
        gradient = widened(objective.subset(np.sort(rows)).gradient(theta))
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
