"""Which parts of the data to solve on first: how large, how many, or none at all."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.checks import check_share
from landscape.errors import UsageError
from landscape.estimators.eigen.convergence import Request
from landscape.estimators.eigen.from_cores import Core
from landscape.operators.base import LinearOperator
from landscape.operators.core import CoreOperator, can_be_cut, draw_core, example_sizes
from landscape.operators.parametric import ParametricOperator

#: What residuals on all data are, relative to eigenvalues, in units of the expected error of the draw (measured).
_PER_ERROR = 4.0
#: Shares of the data that are tried for the largest core.
_SHARES = (0.05, 0.1, 0.2, 0.3)
#: The largest core is to differ by no more than this, and by no more than twice the tolerance if that is to be had.
_NEAR, _FAR = 0.02, 0.1
#: Each core has this many times the examples of the one before, the smallest at least so many.
_STEP, _FEWEST = 4, 250
#: A loss and a gradient in units of products: what the sizes of the examples cost.
SIZES = 1 / 6 + 1 / 2

NOT_CUT = "the operator is no mean over examples that can be picked"
UNKNOWN = "how much single examples bend cannot be told"
TOO_FEW = "no core of at most 0.3 of the data is near enough to all of it"


def cores_for(H: LinearOperator, request: Request, core: Any) -> tuple[list[Core], float, str]:
    """The cores, smallest first, what their choice cost in products, and, where there is none, why.

    Raises
    ------
    UsageError
        For a core that is neither ``"auto"``, nor a share in (0, 1), nor an operator like H; for a share where the data
        cannot be cut.
    """
    if isinstance(core, LinearOperator):
        if core.dim != H.dim or core.dtype != H.dtype or core.device != H.device:
            raise UsageError(f"core is {core!r}; it must have the size, dtype and device of {H!r}")
        return [Core(core, float(getattr(core, "share", 1.0)), _FAR)], 0.0, ""
    if isinstance(core, str) and core != "auto":
        raise UsageError(f'core={core!r} is not "auto", a share of the data in (0, 1), or an operator')
    if not isinstance(core, str):
        check_share("core", core, hint="it is a share of the data")
    if not isinstance(H, ParametricOperator) or not can_be_cut(H):
        if core == "auto":
            return [], 0.0, NOT_CUT
        raise UsageError(
            f"core={core!r} draws examples, and {NOT_CUT}: it takes a Hessian, Gauss-Newton or Fisher operator whose "
            'data join to one tensor per input; core="auto" goes without where there is none'
        )
    if core == "auto" and H.objective.num_examples * _SHARES[-1] < _FEWEST:
        return [], 0.0, TOO_FEW
    return _drawn(H, request, core)


def _drawn(H: ParametricOperator, request: Request, core: Any) -> tuple[list[Core], float, str]:
    N, seed = H.objective.num_examples, request.seed
    sizes = example_sizes(H.objective, H.theta)
    if sizes is None:
        if core == "auto":
            return [], SIZES, UNKNOWN
        sizes = np.ones(N)

    def expected(share: float) -> float:
        return _PER_ERROR * draw_core(sizes, max(round(share * N), 1), seed=seed).error

    if core == "auto":
        aim = min(2 * request.tol, _NEAR) if request.tol > 0 else _NEAR
        share = next((s for s in _SHARES if expected(s) <= max(aim, 0.5 * _NEAR)), _SHARES[-1])
        if expected(share) > _FAR:
            return [], SIZES, TOO_FEW
    else:
        share = float(core)
    shares = [share]
    while shares[0] / _STEP * N >= _FEWEST:
        shares.insert(0, shares[0] / _STEP)
    cores = []
    for level, s in enumerate(shares):
        draw = draw_core(sizes, max(round(s * N), 1), seed=seed + level)
        operator = CoreOperator(H, draw)
        cores.append(Core(operator, operator.share, _PER_ERROR * draw.error))
    return cores, SIZES, ""
