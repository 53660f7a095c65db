"""Which part of the data to solve on first, or none at all."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.estimators.eigen.convergence import Request
from landscape.estimators.eigen.from_core import Core
from landscape.operators.base import LinearOperator
from landscape.operators.core import CoreOperator, can_be_cut, draw_core, example_sizes
from landscape.operators.parametric import ParametricOperator

if TYPE_CHECKING:
    from landscape.objective import Objective

#: What residuals on all data are, relative to eigenvalues, in units of the expected error of the draw; and by what
#: factor of themselves a round of corrections shrinks them. Measured on LeNet-5 and small networks.
_PER_ERROR, _PER_ROUND, _PER_LOW_ROUND = 5.0, 6.0, 7.0
#: Shares of the data that are tried, and products with the core before the first on all data.
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3)
_CORE_STEPS = 20
#: What a fresh start takes, for one pair and for each more; what looking for the unseen takes beside a core.
_FRESH, _EACH, _LOOKING = 14.0, 1.2, 3.5
#: The same from a guess, and for the lowest pairs to residuals of 5 %, which in spectra of networks lie close together
#: near zero: each further digit takes so many more. With the core nearly as many steps are made to them.
_GUESSED, _FRESH_LOW, _EACH_LOW, _EACH_DIGIT, _LOW_STEPS = 5.0, 30.0, 13.0, 20.0, 0.9
#: A core of fewer examples says little.
_FEWEST = 100
#: With so many in a core, it usually pays.
_MANY = 1000
#: A loss and a gradient in units of products: what the sizes of the examples cost.
SIZES = 1 / 6 + 1 / 2

NOT_CUT = "the operator is no mean over examples that can be picked"
TOO_FEW = "too few examples"
UNKNOWN = "how much single examples bend cannot be told"
NO_GAIN = "none is expected to pay"


def core_for(
    H: LinearOperator, request: Request, core: Any, *, watch: bool, guessed: bool = False
) -> tuple[Core | None, float, str]:
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
        if isinstance(core, CoreOperator):
            return Core(core, core.share, _PER_ERROR * core.error), 0.0, ""
        return Core(core, float(getattr(core, "share", 1.0)), 0.1), 0.0, ""
    if isinstance(core, str) and core != "auto":
        raise UsageError(f'core={core!r} is not "auto", a share of the data in (0, 1), or an operator')
    if not isinstance(core, str):
        check_share("core", core, hint="it is a share of the data")
    found, spent, why = drawn_core(H, request, core, watch=watch, guessed=guessed)
    return None if found is None else Core(found, found.share, _PER_ERROR * found.error), spent, why


def drawn_core(
    H: LinearOperator, request: Request, share: Any = "auto", *, watch: bool = True, guessed: bool = False
) -> tuple[CoreOperator | None, float, str]:
    """The same, of a share of the data, or of as many as pay.

    Raises
    ------
    UsageError
        For a share where the data cannot be cut.
    """
    if not isinstance(H, ParametricOperator) or not can_be_cut(H):
        if share == "auto":
            return None, 0.0, NOT_CUT
        raise UsageError(
            f"core={share!r} draws examples, and {NOT_CUT}: it takes a Hessian, Gauss-Newton or Fisher operator whose "
            'data join to one tensor per input; core="auto" goes without where there is none'
        )
    N = H.objective.num_examples
    if share == "auto" and N * _SHARES[-1] < _FEWEST:
        return None, 0.0, TOO_FEW
    sizes = example_sizes(H.objective, H.theta)
    if sizes is None and share == "auto":
        return None, SIZES, UNKNOWN
    sizes = np.ones(N) if sizes is None else sizes
    best = _best_share(sizes, request, watch=watch, guessed=guessed) if share == "auto" else float(share)
    if best is None:
        return None, SIZES, NO_GAIN
    return CoreOperator(H, draw_core(sizes, max(round(best * N), 1), seed=request.seed)), SIZES, ""


def is_likely(objective: Objective) -> bool:
    """Whether a core may be expected to pay, before anything is known of the examples: there are thousands."""
    return objective.can_pick and objective.num_examples * _SHARES[-1] >= _MANY


def is_expected(H: ParametricOperator, request: Request) -> bool:
    """Whether ``core="auto"`` will draw one: assumed of thousands of examples, found out where they are fewer, which
    costs what their sizes do.
    """
    return is_likely(H.objective) or drawn_core(H, request)[0] is not None


def _best_share(sizes: np.ndarray, request: Request, *, watch: bool, guessed: bool) -> float | None:
    """The share with which least is expected to be spent; None where a start on all data takes less."""
    costs = {
        share: expected_cost(share, _PER_ERROR * draw_core(sizes, round(share * len(sizes))).error, request)
        for share in _SHARES
        if share * len(sizes) >= _FEWEST
    }
    best = min(costs, key=lambda share: costs[share])
    steps = _steps(request, _GUESSED if guessed else _FRESH, _EACH)
    return best if costs[best] + SIZES + watch * _LOOKING < steps else None


def _steps(request: Request, first: float, each: float) -> float:
    """What pairs take without a core: those from the lower end decide where they are wanted."""
    if request.wants_lowest:
        digits = max(math.log10(0.05 / max(request.loosest, 1e-7)), 0.0)
        return _FRESH_LOW + _EACH_LOW * request.k + _EACH_DIGIT * digits
    return first + each * request.count


def expected_cost(share: float, error: float, request: Request) -> float:
    """Products, those with the core at their share, until residuals that begin at ``error`` are small enough."""
    low = request.wants_lowest
    shrinks = (_PER_LOW_ROUND if low else _PER_ROUND) * error
    if shrinks >= 0.9:
        return math.inf
    aim = max(request.loosest if low else request.tol, 1e-7)
    rounds = max(math.log(aim / error) / math.log(shrinks), 0.0) if error > 0 else 0.0
    steps = _LOW_STEPS * _steps(request, 0.0, 0.0) if low else _CORE_STEPS
    return request.count * (1 + rounds) + share * (steps + request.count * rounds)
