"""Our own power iteration: the plainest way to λ_max, by other code than Lanczos'."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from landscape.estimators import top_eigenpairs
from landscape.results.crosscheck import WitnessRow
from landscape.witness.ours import Ours
from landscape.witness.stopping import Eigenvalue, causes_of
from landscape.witness.verdicts import judge

NAME = "our power iteration"
DISTRIBUTION = "landscape-curvature"
#: Products, whether or not it has converged by then; its residual says how far it came.
_MOST = 150
_TOL = 1e-2


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """λ₁, to the residual that it reaches."""
    found = top_eigenpairs(
        ours.hessian.base, 1, method="power", tol=_TOL, max_matvecs=_MOST, seed=ours.settings.seed + 1, strict=False
    )
    if not len(found):
        return
    values, residuals = ours.top
    yield judge(
        NAME, "λ1", float(values[0]), float(found.values[0]), ours_error=float(residuals[0]),
        theirs_error=float(found.residuals[0]), rounding=ours.rounding,
        causes=causes_of(
            Eigenvalue(
                0, float(found.values[0]), torch.from_numpy(found.vectors[:, 0].copy()),
                f"it stopped after {found.num_matvecs} products",
            ),
            ours,
        ),
        remark="" if found.converged[0] else f"not converged after {found.num_matvecs} products",
    )  # fmt: skip
