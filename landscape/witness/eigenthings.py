"""hessian-eigenthings: its Hessian, and its Lanczos iteration with the number of steps that it takes by itself.

What it was seen to do (1.0.0a5): batches are averaged unweighted; ``lanczos`` ranks by |λ|, makes 2k steps and says
how large the residuals are then, but returns what it has all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from landscape.results.crosscheck import WitnessRow
from landscape.witness import causes
from landscape.witness.curvlinops import _pieces
from landscape.witness.ours import Ours
from landscape.witness.peers import Given, lent
from landscape.witness.stopping import Eigenvalue, causes_of
from landscape.witness.verdicts import NotRun, judge

NAME = "hessian-eigenthings"
DISTRIBUTION = "hessian-eigenthings"
#: Lanczos steps, where its own 2k are found to be few.
_MORE = 40


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """A product, and the k largest eigenvalues."""
    try:
        import hessian_eigenthings as package  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise NotRun("not installed (pip install hessian-eigenthings)") from None
    given = Given(ours.objective)
    model, v, seed = given.model(), ours.vector, ours.settings.seed
    with lent(seed):
        operator = package.HessianOperator(model, given.batches, package.supervised_loss(given.loss))
        flat = torch.cat([piece.reshape(-1) for piece in _pieces(given, model, v)])
        theirs, Hv = _ours(given, model, operator.matvec(flat)), ours.product.double()
        error = ours.product_error(v, Hv)
        yield judge(
            NAME, "‖Hv‖", float(Hv.norm()), float(theirs.norm()), ours_error=error, theirs_error=error,
            difference=float((Hv - theirs).norm()), causes=causes.of_product(ours, v, theirs, 2 * error),
        )  # fmt: skip
        count = min(ours.settings.k, ours.dim)
        steps = min(2 * count, max(ours.dim - 1, count))
        found = package.lanczos(operator, k=count, seed=seed)

        @cache
        def again() -> Any:
            return package.lanczos(operator, k=count, max_iter=min(_MORE, ours.dim), seed=seed)

        def more(i: int) -> tuple[float, float]:
            return float(again().eigenvalues[i]), float(again().residuals[i])

        top, residuals = ours.top
        vectors = [_ours(given, model, u) for u in found.eigenvectors]
        for i, value in enumerate(found.eigenvalues.tolist()):
            stated = float(found.residuals[i])
            yield judge(
                NAME, f"λ{i + 1}", float(top[i]), value, ours_error=float(residuals[i]), theirs_error=stated,
                rounding=2 * ours.rounding,
                causes=causes_of(
                    Eigenvalue(
                        i, value, vectors[i], f"it stopped after {steps} Lanczos steps", stated=stated,
                        further=partial(more, i),
                    ),
                    ours,
                ),
                remark="" if bool(found.converged[i]) else f"not converged, as it says, after {steps} Lanczos steps",
            )  # fmt: skip


def _ours(given: Given, model: torch.nn.Module, v: Tensor) -> Tensor:
    """A vector of theirs, which is in the order of the model's parameters, in ours."""
    shapes = [p for p in model.parameters() if p.requires_grad]
    pieces = v.detach().split([p.numel() for p in shapes])
    return given.flat(model, [piece.view_as(p) for piece, p in zip(pieces, shapes, strict=True)])
