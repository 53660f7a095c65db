"""Data-sampling error: the same quantity on disjoint subsets of the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from landscape.checks import check_count, check_seed
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.results import Estimate, SamplingSpread

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
