"""Relative flatness: the trace of the Hessian of a layer, its rows weighed by the products of the rows of weights.

With the weights W (S, D) of a layer, ``κ = Σ_{s,s'} ⟨w_s, w_s'⟩ tr(H_{s,s'}) = tr((WWᵀ ⊗ I) H)``. From the singular
values ``W = UΣVᵀ`` of rank r, ``WWᵀ ⊗ I = BBᵀ`` where B takes Z (r, D) to ``UΣZ`` (S, D). So κ is the trace of
``BᵀHB``, a symmetric matrix of r·D rows: one product with H for a random sign matrix Z, or r·D of them for all of it;
no block is formed. Of several layers at once B is block by block, and one product with their common Hessian serves all:
what lies between two layers has mean zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from landscape.device import widened
from landscape.errors import UsageError
from landscape.estimators import trace as estimate_trace
from landscape.geometry.sharpness.averages import Goal
from landscape.objective import Objective
from landscape.operators import HessianOperator, LinearOperator
from landscape.params import match_names
from landscape.progress import Progress
from landscape.results import Estimate

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class Rows(NamedTuple):
    """``UΣ`` (S, r) of one layer, and D, how many numbers stand in a row."""

    mixing: Tensor
    width: int


class MixedRowsOperator(LinearOperator):
    """``BᵀHB``, H of some layers with nothing between, B that of the module's beginning.

    Parameters
    ----------
    base : LinearOperator
        H, of ``Σ S·D`` parameters.
    layers : sequence of Rows
        In the order of H.
    """

    def __init__(self, base: LinearOperator, layers: Sequence[Rows]) -> None:
        self._inner = [rows.mixing.shape[1] * rows.width for rows in layers]
        self._outer = [rows.mixing.shape[0] * rows.width for rows in layers]
        super().__init__(sum(self._inner), dtype=base.dtype, device=base.device)
        self._base, self._layers = base, list(layers)

    @property
    def resolution(self) -> float:
        """That of H."""
        return self._base.resolution

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H, taken back."""
        error = self._base.product_error(self._out(v[:, None])[:, 0], seed=seed)
        return None if error is None else self._back(error[:, None])[:, 0]

    def _matvec(self, v: Tensor) -> Tensor:
        return self._back(self._base._matvec(self._out(v[:, None])[:, 0])[:, None])[:, 0]

    def _matmat(self, V: Tensor) -> Tensor:
        return self._back(self._base._matmat(self._out(V)))

    def _out(self, Z: Tensor) -> Tensor:
        """B Z of columns Z (Σ r·D, K)."""
        pieces = zip(Z.split(self._inner), self._layers, strict=True)
        return torch.cat([_between(rows.mixing.to(Z), piece, rows.width) for piece, rows in pieces])

    def _back(self, V: Tensor) -> Tensor:
        """Bᵀ V of columns V (Σ S·D, K)."""
        pieces = zip(V.split(self._outer), self._layers, strict=True)
        return torch.cat([_between(rows.mixing.to(V).T, piece, rows.width) for piece, rows in pieces])


def _between(matrix: Tensor, columns: Tensor, width: int) -> Tensor:
    """``(matrix ⊗ I)`` times columns."""
    count = columns.shape[1]
    return (matrix @ columns.reshape(matrix.shape[1], width * count)).reshape(matrix.shape[0] * width, count)


def relative_flatness(
    objective: Objective,
    theta: Tensor,
    *,
    layer: str | None,
    probes: int,
    goal: Goal | None,
    seed: int,
    progress: Progress | None,
) -> tuple[Estimate, str]:
    """κ with its standard error, and of which layers; as many products as probes, or fewer where those are all."""
    names = layers_of(objective, layer)
    part = objective.restricted(names, at=theta)
    named = objective.layout.unflatten(theta)
    rows = [mixed_rows(named[name]) for name in part.layout.names]
    shapes = (f"{name} ({len(r.mixing)} × {r.width})" for name, r in zip(part.layout.names, rows, strict=True))
    said = "rows of " + ", ".join(shapes)
    if not any(r.mixing.shape[1] for r in rows):
        return Estimate(0.0, bound=0.0, method="exact, the weights are zero"), said
    H = HessianOperator(part, part.layout.flatten(named), expected_matvecs=probes)
    how: dict[str, Any] = {"num_probes": probes} if goal is None else goal.of_products(probes)
    operator = MixedRowsOperator(H, rows)
    found = estimate_trace(operator, seed=seed, progress=progress, strict=False, **how)
    return found, said


def mixed_rows(weights: Tensor) -> Rows:
    """UΣ of a layer, from its weights (S, …), without the directions in which they are zero to rounding."""
    W = widened(weights.detach()).reshape(len(weights), -1)
    U, sizes, _ = torch.linalg.svd(W, full_matrices=False)
    least = max(W.shape) * torch.finfo(weights.dtype).eps * float(sizes.max())
    is_there = sizes > least
    return Rows((U * sizes)[:, is_there], W.shape[1])


def layers_of(objective: Objective, layer: str | None) -> list[str]:
    """The tensors of θ that a person names: the last matrix if none, ``"all"``, or by name or glob.

    Raises
    ------
    UsageError
        Where there is none, with those there are.
    """
    matrices = _matrices(objective)
    if not matrices:
        raise UsageError(
            "relative flatness is of the rows of a matrix of weights, and θ has none: it consists of "
            + ", ".join(objective.layout.names[:8])
        )
    if layer is None or layer == "all":
        return matrices if layer == "all" else matrices[-1:]
    chosen = match_names(matrices, layer)
    if not chosen:
        raise UsageError(f"layer={layer!r} is no matrix of θ; there are {', '.join(matrices)}, and 'all'")
    return chosen


def _matrices(objective: Objective) -> list[str]:
    """Tensors of θ of two dimensions or more whose rows are what makes one output each."""
    modules = dict(objective.module.model.named_modules())
    turned = {
        name
        for slot, name in objective.layout.slots.items()
        if isinstance(modules[slot.rpartition(".")[0]], _TRANSPOSED)
    }
    pairs = zip(objective.layout.names, objective.layout.shapes, strict=True)
    return [name for name, shape in pairs if len(shape) > 1 and min(shape) > 0 and name not in turned]
