"""An operator seen through a diagonal preconditioner."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.device import place_of_float64, widened
from landscape.errors import UsageError
from landscape.objective import Vector
from landscape.operators.base import LinearOperator, OperatorAround
from landscape.operators.other_libraries import as_operator
from landscape.operators.parametric import Groups, ParametricOperator, Pattern, names_of, partition


class PreconditionedOperator(OperatorAround):
    r"""``D^{-1/2} H D^{-1/2}`` for a positive diagonal D.

    Similar to ``D⁻¹H``, so it has the same eigenvalues, and symmetric, so that every estimator may read it. An
    eigenvector u of ``D⁻¹H`` is ``D^{-1/2}`` times one of this operator. With the D of an adaptive optimizer
    (:func:`preconditioner`) its largest eigenvalue is what the optimizer's stability threshold bounds.

    Parameters
    ----------
    H : LinearOperator, or what :func:`as_operator` takes
    scale : (P,) tensor or array
        The diagonal of D, all entries positive.

    Attributes
    ----------
    scale : (P,) float64 tensor

    Raises
    ------
    UsageError
        If ``scale`` has another length, or an entry that is not positive and finite.

    Notes
    -----
    One matvec costs one matvec of H. Blocks are those of H, with their part of D.

    References
    ----------
    Cohen et al. (2022), Adaptive gradient methods at the edge of stability, arXiv:2207.14484, section 2.

    Examples
    --------
    >>> PreconditionedOperator(np.diag([2.0, 3.0]), np.array([4.0, 1.0])).dense()
    tensor([[0.5000, 0.0000],
            [0.0000, 3.0000]], dtype=torch.float64)
    """

    def __init__(self, H: Any, scale: Vector) -> None:
        base = as_operator(H)
        super().__init__(base)
        given = torch.as_tensor(np.array(scale) if isinstance(scale, np.ndarray) else scale)
        if given.shape != (self.dim,) or given.is_complex():
            raise UsageError(
                f"scale of shape {tuple(given.shape)} and {given.dtype}; expected ({self.dim},) real numbers"
            )
        self.scale: Tensor = given.detach().to(place_of_float64(self.device)).to(torch.float64, copy=True)
        bad = ~((self.scale > 0) & torch.isfinite(self.scale))
        if bool(bad.any()):
            place = int(bad.nonzero()[0, 0])
            raise UsageError(
                f"scale must be positive and finite; {int(bad.sum())} of {self.dim} entries are not, the first number "
                f"{place}: {float(self.scale[place]):g}. An optimizer's ε keeps its scale from zero"
            )
        self._root = self.scale.rsqrt().to(self.device, self.dtype)
        if not bool((torch.isfinite(self._root) & (self._root > 0)).all()):
            raise UsageError(f"D^{{-1/2}} leaves the range of {self.dtype}; use an operator in float64 or rescale D")

    def _matvec(self, v: Tensor) -> Tensor:
        return self._root * self._base._matvec(self._root * v)

    def _matmat(self, V: Tensor) -> Tensor:
        return self._root[:, None] * self._base._matmat(self._root[:, None] * V)

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of H between the two factors."""
        error = self._base.product_error(self._root * v, seed=seed)
        return None if error is None else widened(self._root) * error

    def block(self, pattern: Pattern) -> PreconditionedOperator:
        """The diagonal block of some parameters, where H is an operator on named parameters."""
        base = self._named_base(f"block({pattern!r})")
        slices = base.objective.layout.slices()
        part = torch.cat([self.scale[slices[name]] for name in names_of(base.objective, pattern)])
        return PreconditionedOperator(base.block(pattern), part)

    def blocks(self, groups: Groups = "tensor") -> dict[str, LinearOperator]:
        """The diagonal blocks of groups that together are θ, by name; groups as for the operator H."""
        base = self._named_base("blocks()")
        return {title: self.block(names) for title, names in partition(base.objective, groups).items()}

    def _named_base(self, call: str) -> ParametricOperator:
        if not isinstance(self._base, ParametricOperator):
            raise UsageError(f"{call}: a {type(self._base).__name__} knows no parameter names")
        return self._base
