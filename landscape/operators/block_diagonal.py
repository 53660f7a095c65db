"""Diagonal blocks put together: what is left of an operator when parameters of different groups do not interact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.device import place_of_float64
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.operators.base import LinearOperator
from landscape.operators.hessian import HessianOperator
from landscape.operators.parametric import Groups, ParametricOperator, partition

if TYPE_CHECKING:
    from landscape.distributed import Group


class BlockDiagonalOperator(LinearOperator):
    """Operators on disjoint parts of a vector; everything between the parts is zero. Made by :func:`block_diagonal`.

    Parameters
    ----------
    blocks : mapping of str to LinearOperator
        Of one dtype and device.
    positions : mapping of str to (size,) whole numbers
        Where each block's entries stand in the vector; together every place from 0 to P − 1 once.

    Raises
    ------
    UsageError
        If the blocks do not fit their positions, or the positions are no partition.

    Notes
    -----
    One matvec costs one of each block. Its eigenvalues are those of the blocks, its trace the sum of theirs.
    """

    def __init__(self, blocks: Mapping[str, LinearOperator], positions: Mapping[str, Sequence[int] | Tensor]) -> None:
        if not blocks or set(blocks) != set(positions):
            raise UsageError(
                f"blocks ({', '.join(blocks) or 'none'}) and positions ({', '.join(positions) or 'none'}) must have "
                "the same names, at least one"
            )
        first = next(iter(blocks.values()))
        places = {name: torch.as_tensor(positions[name], dtype=torch.long).to(first.device) for name in blocks}
        for name, block in blocks.items():
            block._adopt(first.dtype, first.device)
            if places[name].shape != (block.dim,):
                raise UsageError(f"block {name!r} is {block.shape} but has positions {tuple(places[name].shape)}")
        together = torch.cat(list(places.values()))
        super().__init__(len(together), dtype=first.dtype, device=first.device)
        if not torch.equal(together.sort().values, torch.arange(self.dim, device=together.device)):
            raise UsageError(f"positions must hold every place from 0 to {self.dim - 1} exactly once")
        self._blocks, self._places = dict(blocks), places

    @property
    def resolution(self) -> float:
        """The largest of the blocks'."""
        return max(block.resolution for block in self._blocks.values())

    @property
    def group(self) -> Group | None:
        """That of any."""
        return next((block.group for block in self._blocks.values() if block.group is not None), None)

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of each block in its place."""
        out = torch.zeros(self.dim, dtype=torch.float64, device=place_of_float64(self.device))
        for name, block in self._blocks.items():
            error = block.product_error(v[self._places[name]], seed=seed)
            if error is None:
                return None
            out[self._places[name]] = error
        return out

    def blocks(self, groups: Groups | None = None) -> dict[str, LinearOperator]:
        """The blocks by name. It has no others: to group θ otherwise, make another from the whole operator."""
        if groups is not None:
            raise UsageError(
                f"the blocks of a BlockDiagonalOperator are fixed: {', '.join(self._blocks)}. Call blocks(groups) on "
                "the operator that it was made of"
            )
        return dict(self._blocks)

    def _matvec(self, v: Tensor) -> Tensor:
        out = torch.empty_like(v)
        for name, block in self._blocks.items():
            out[self._places[name]] = block @ v[self._places[name]]
        return out

    def _matmat(self, V: Tensor) -> Tensor:
        return self._matvec(V)


def block_diagonal(source: LinearOperator | Objective, groups: Groups = "tensor") -> BlockDiagonalOperator:
    """Keep of an operator only what acts inside groups of parameters.

    Parameters
    ----------
    source : operator on named parameters, or Objective
        Hessian, Gauss-Newton, Fisher, or one of them preconditioned; an objective stands for its Hessian.
    groups : "tensor", "module", sequence or mapping
        ``"tensor"``: every parameter tensor by itself. ``"module"``: what belongs to one module directly, such as its
        weight and bias. Otherwise globs or modules of the model, which together hold every parameter of θ once; a
        mapping gives them names.

    Raises
    ------
    UsageError
        If the operator knows no parameter names, or a parameter is in two groups or in none.

    Notes
    -----
    One matvec costs as many as there are groups, each a little cheaper than one of the whole.

    Examples
    --------
    >>> import landscape as ls
    >>> x, y = torch.eye(2), torch.ones(2, 1)
    >>> model = torch.nn.Linear(2, 1)
    >>> H = block_diagonal(ls.Objective(model, torch.nn.functional.mse_loss, (x, y)))
    >>> list(H.blocks())
    ['weight', 'bias']
    >>> H.dense()
    tensor([[1., 0., 0.],
            [0., 1., 0.],
            [0., 0., 2.]])
    """
    operator = HessianOperator(source) if isinstance(source, Objective) else source
    blocks = operator.blocks(groups)
    objective = _objective_of(operator)
    slices = objective.layout.slices()
    names = partition(objective, groups)
    positions = {
        title: torch.cat([torch.arange(slices[name].start, slices[name].stop) for name in names[title]])
        for title in blocks
    }
    return BlockDiagonalOperator(blocks, positions)


def _objective_of(operator: LinearOperator) -> Objective:
    inner = getattr(operator, "_base", operator)
    if not isinstance(inner, ParametricOperator):
        raise UsageError(f"a {type(operator).__name__} knows no parameter names")
    return inner.objective
