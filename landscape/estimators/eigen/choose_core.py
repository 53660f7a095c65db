"""Which part of the data to solve on first, or none at all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.estimators.eigen.convergence import Request
from landscape.estimators.eigen.from_core import Core
from landscape.operators.base import LinearOperator
from landscape.operators.core import CoreOperator, can_be_cut, draw_core, example_sizes
from landscape.operators.parametric import ParametricOperator

#: What residuals on all data are, relative to eigenvalues, in units of the expected error of the draw; and by what
#: factor of themselves a round of corrections shrinks them. Measured on LeNet-5 and small networks.
_PER_ERROR, _PER_ROUND = 5.0, 6.0
#: Shares of the data that are tried, and products with the core before the first on all data.
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)
_CORE_STEPS = 20
#: What a fresh start takes, for one pair and for each more; what looking for the unseen takes beside a core.
_FRESH, _EACH, _LOOKING = 14.0, 1.2, 3.5
#: A core of fewer examples says little.
_FEWEST = 100
#: A loss and a gradient in units of products: what the sizes of the examples cost.
SIZES = 1 / 6 + 1 / 2

NOT_CUT = "the operator is no mean over examples that can be picked"
TOO_FEW = "too few examples"
UNKNOWN = "how much single examples bend cannot be told"
NO_GAIN = "none is expected to pay"


def core_for(H: LinearOperator, request: Request, core: Any, *, watch: bool) -> tuple[Core | None, float, str]:
    """The core, what its choice cost in products, and, where there is none, why.

    Raises
    ------
    UsageError
        For a core that is neither ``"auto"``, nor a share in (0, 1), nor an operator like H; for a share where the data
        cannot be cut.
    """
    if isinstance(core, LinearOperator):
        if core.dim != H.dim or core.dtype != H.dtype or core.device != H.device:
            raise UsageError(f"core is {core!r}; it must have the size, dtype and device of {H!r}")
        return Core(core, float(getattr(core, "share", 1.0)), 0.1), 0.0, ""
    if isinstance(core, str) and core != "auto":
        raise UsageError(f'core={core!r} is not "auto", a share of the data in (0, 1), or an operator')
    if not isinstance(core, str):
        check_share("core", core, hint="it is a share of the data")
    if not isinstance(H, ParametricOperator) or not can_be_cut(H):
        if core == "auto":
            return None, 0.0, NOT_CUT
        raise UsageError(
            f"core={core!r} draws examples, and {NOT_CUT}: it takes a Hessian, Gauss-Newton or Fisher operator whose "
            'data join to one tensor per input; core="auto" goes without where there is none'
        )
    N = H.objective.num_examples
    if core == "auto" and N * _SHARES[-1] < _FEWEST:
        return None, 0.0, TOO_FEW
    sizes = example_sizes(H.objective, H.theta)
    if sizes is None and core == "auto":
        return None, SIZES, UNKNOWN
    sizes = np.ones(N) if sizes is None else sizes
    share = _best_share(sizes, request, watch=watch) if core == "auto" else float(core)
    if share is None:
        return None, SIZES, NO_GAIN
    draw = draw_core(sizes, max(round(share * N), 1), seed=request.seed)
    operator = CoreOperator(H, draw)
    return Core(operator, operator.share, _PER_ERROR * draw.error), SIZES, ""


def _best_share(sizes: np.ndarray, request: Request, *, watch: bool) -> float | None:
    """The share with which least is expected to be spent; None where a fresh start takes less."""
    costs = {
        share: expected_cost(share, _PER_ERROR * draw_core(sizes, round(share * len(sizes))).error, request)
        for share in _SHARES
        if share * len(sizes) >= _FEWEST
    }
    best = min(costs, key=lambda share: costs[share])
    return best if costs[best] + SIZES + watch * _LOOKING < _FRESH + _EACH * request.count else None


def expected_cost(share: float, error: float, request: Request) -> float:
    """Products, those with the core at their share, until residuals that begin at ``error`` are small enough."""
    shrinks = _PER_ROUND * error
    if shrinks >= 0.9:
        return math.inf
    rounds = max(math.log(max(request.tol, 1e-7) / error) / math.log(shrinks), 0.0) if error > 0 else 0.0
    return request.count * (1 + rounds) + share * (_CORE_STEPS + request.count * rounds)
