"""An operator of few parameters as the matrix itself, with all its eigenvalues: made once, read by every estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_not_negative, check_positive
from landscape.device import place_of_float64
from landscape.errors import LandscapeError, UsageError
from landscape.objective import Objective, Vector
from landscape.operators.base import LinearOperator
from landscape.operators.other_libraries import as_operator
from landscape.operators.parametric import Groups, ParametricOperator, Pattern, names_of, partition
from landscape.operators.product_error import rounding_on
from landscape.progress import Progress

#: Bytes for matrix, eigenvectors and what the eigensolver needs beside them: up to P = 5,700.
DEFAULT_MEMORY = 1 << 30
_MATRICES = 4
_COLUMNS = 64
#: Vectors on which the rounding of the products is measured: the outermost ones, where it is largest.
_OUTERMOST = 8
#: What eigenvalues and vectors cost, in products: so much P³/(P·N), 0.2 to 0.5 for perceptrons on a CPU; and what every
#: product costs besides for calling its operations, in the same unit as P·N.
_EIGENVALUES, _CALLS = 0.4, 4e5
#: Products times what one costs, in the unit of P·N, that take some seconds: three for a perceptron, ten with filters.
_SECONDS = 3e9


class ExactOperator(LinearOperator):
    """A dense symmetric matrix in float64 and its eigenvalues. Made by :func:`exact`; goes wherever an operator goes.

    Attributes
    ----------
    source : LinearOperator
        Of what it is the matrix.
    matrix : (P, P) float64 tensor
    num_matvecs : int
        Products with ``source`` that it was formed from. Results made from it count none of their own.
    """

    def __init__(self, source: LinearOperator, matrix: Tensor, *, num_matvecs: int = 0) -> None:
        LinearOperator.__init__(self, len(matrix), dtype=torch.float64, device=matrix.device)
        self.source, self.matrix, self.num_matvecs = source, matrix, num_matvecs
        self._eigen: tuple[np.ndarray, Tensor] | None = None
        self._rounding: float | None = None

    @property
    def resolution(self) -> float:
        """eps of float64: what is multiplied is the matrix. How far that is from the one meant says ``rounding``."""
        return float(torch.finfo(torch.float64).eps)

    @property
    def values(self) -> np.ndarray:
        """All eigenvalues (P,), descending."""
        return self._solved()[0]

    @property
    def vectors(self) -> Tensor:
        """All eigenvectors, the columns of (P, P), in the order of the values."""
        return self._solved()[1]

    @property
    def rounding(self) -> float:
        """How far any eigenvalue may be from that of the matrix meant: rounding of products and of the eigensolver.

        That of the products is measured in float32, on the outermost eight eigenvectors and a few examples.
        """
        if self._rounding is None:
            size = float(np.abs(self.values).max())
            outermost = np.argsort(-np.abs(self.values), kind="stable")[:_OUTERMOST]
            vectors = self.vectors[:, torch.as_tensor(outermost.copy(), device=self.device)]
            resolution = self.source.resolution
            of_products = rounding_on(self, self.values[outermost], vectors, seed=0, resolution=resolution)
            self._rounding = of_products + self.dim * self.resolution * size
        return self._rounding

    @property
    def relative_rounding(self) -> float:
        """``rounding`` in units of ``‖H‖``; 0 for a zero matrix."""
        size = float(np.abs(self.values).max())
        return self.rounding / size if size > 0 else 0.0

    def _solved(self) -> tuple[np.ndarray, Tensor]:
        if self._eigen is None:
            values, vectors = torch.linalg.eigh(self.matrix)
            self._eigen = values.flip(0).cpu().numpy(), vectors.flip(1)
        return self._eigen

    def dense(self) -> Tensor:
        """The matrix, a copy."""
        return self.matrix.clone()

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of the operator it was formed from."""
        return self.source.product_error(v.to(self.source.device, self.source.dtype), seed=seed)

    def _matvec(self, v: Tensor) -> Tensor:
        return self.matrix @ v

    def _matmat(self, V: Tensor) -> Tensor:
        return self.matrix @ V


class ExactParametricOperator(ExactOperator, ParametricOperator):
    """The same of an operator on the parameters of a model: it has blocks by name, which are read off the matrix.

    Attributes
    ----------
    objective : Objective
    theta : (P,) tensor
        As ``source`` has them.
    """

    source: ParametricOperator

    def __init__(
        self, source: ParametricOperator, matrix: Tensor, *, names: list[str] | None = None, num_matvecs: int = 0
    ) -> None:
        ExactOperator.__init__(self, source, matrix, num_matvecs=num_matvecs)
        self.objective, self.theta, self._names = source.objective, source.theta, names
        self._places = _places(source.objective, names or list(source.objective.layout.names))
        if names is not None:
            self.objective = source.objective.restricted(names, at=source.theta)
            self.theta = self.objective.layout.flatten(source.objective.layout.unflatten(source.theta))

    def at(self, theta: Vector) -> ExactParametricOperator:
        """The same at another point, formed anew: P products."""
        whole = self.source if self._names is None else self.source.block(self._names)
        return _parametric(whole.at(theta))

    def block(self, pattern: Pattern) -> ExactParametricOperator:
        """The diagonal block of some parameters, as ``source.block`` has it; costs no product."""
        names = names_of(self.objective, pattern)
        inside = _places(self.objective, names).to(self.device)
        return ExactParametricOperator(self.source, self.matrix[inside][:, inside], names=names)

    def blocks(self, groups: Groups = "tensor") -> dict[str, LinearOperator]:
        """The diagonal blocks of groups that together are θ, by name; costs no product."""
        return dict(self.exact_blocks(groups))

    def exact_blocks(self, groups: Groups = "tensor") -> dict[str, ExactOperator]:
        """The same."""
        return {title: self.block(names) for title, names in partition(self.objective, groups).items()}

    def product_error(self, v: Tensor, *, seed: int = 0) -> Tensor | None:
        """That of the operator it was formed from."""
        places = self._places.to(self.source.device)
        whole = torch.zeros(self.source.dim, dtype=self.source.dtype, device=self.source.device)
        whole[places] = v.to(whole)
        error = self.source.product_error(whole, seed=seed)
        return None if error is None else error[places.to(error.device)].to(self.device)

    def _like(self, objective: Objective, theta: Tensor) -> ExactParametricOperator:
        return _parametric(self.source._like(objective, theta))


def exact(H: Any, *, memory: float = DEFAULT_MEMORY, progress: Progress | None = None) -> ExactOperator:
    """Form the matrix of an operator, once, to read everything from it with errors that are rounding alone.

    Where P products cost less than what estimators would make (:func:`exact_cost`), this is the cheaper way as well.

    Parameters
    ----------
    H : LinearOperator, or what :func:`as_operator` takes
    memory : float
        Bytes for the matrix, its eigenvectors and the eigensolver, four P × P matrices in float64: 1 GiB if left out,
        which is enough up to P = 5,700.
    progress : callable, optional
        Called as ``progress(products done, P)``.

    Returns
    -------
    ExactOperator
        Pass it to any estimator in the place of H. Of an operator on named parameters it has the same blocks; ``at``
        forms another. Its eigenvalues are computed when they are first asked for. Products in float32 leave rounding,
        measured (``rounding``) and part of every error; take a float64 objective to be rid of it.

    Raises
    ------
    UsageError
        If it does not fit into ``memory``.
    LandscapeError
        If a product gives NaN or Inf.

    Examples
    --------
    >>> import landscape as ls
    >>> H = exact(ls.MatrixOperator(np.diag([3.0, 1.0, -4.0])))
    >>> print(ls.top_eigenpairs(H, 1, which="both").values, float(ls.trace(H)), ls.trace(H).num_matvecs)
    [ 3. -4.] 0.0 0
    """
    H = as_operator(H)
    check_positive("memory", memory)
    if isinstance(H, ExactOperator):
        return H
    if not _has_room(H, memory):
        raise UsageError(
            f"the matrix of P={H.dim} parameters and its eigenvectors take {_bytes(H) / 1e9:.3g} GB and memory= allows "
            f"{memory / 1e9:.3g}. Raise it, take fewer parameters (params=, or H.block()), or pass H itself: "
            "estimators need products alone"
        )
    return _formed(H, progress)


def exact_cost(H: Any) -> float:
    """What :func:`exact` costs in products with H made one after another, eigenvalues included; 0 if it is exact.

    P of them and ``0.4 P³/(P·N + 4·10⁵)``, counted, not timed: what is planned by it does not depend on the machine.
    """
    H = as_operator(H)
    if isinstance(H, ExactOperator):
        return 0.0
    return float(H.dim + _EIGENVALUES * H.dim**3 / _size_of_product(H))


def exact_fits(H: Any, planned: float, *, memory: float = DEFAULT_MEMORY) -> bool:
    """Whether :func:`exact` costs at most as much as ``planned`` products with H, within ``memory`` bytes."""
    H = as_operator(H)
    check_not_negative("planned", planned)
    return _has_room(H, check_positive("memory", memory)) and exact_cost(H) <= planned


def exact_is_quick(H: ParametricOperator) -> bool:
    """Whether forming the matrix is a matter of seconds, which is counted, too: up to P = 1,000 with N = 1,500."""
    return exact_cost(H) * _size_of_product(H) <= _SECONDS


def _size_of_product(H: LinearOperator) -> float:
    """P·N, and what calling operations costs."""
    examples = H.objective.num_examples if isinstance(H, ParametricOperator) else H.dim
    return H.dim * examples + _CALLS


def _formed(H: LinearOperator, progress: Progress | None = None) -> ExactOperator:
    """From P products with unit vectors, averaged with its transpose."""
    A = torch.empty(H.dim, H.dim, dtype=torch.float64, device=place_of_float64(H.device))
    for first in range(0, H.dim, _COLUMNS):
        last = min(first + _COLUMNS, H.dim)
        units = torch.zeros(H.dim, last - first, dtype=H.dtype, device=H.device)
        units[torch.arange(first, last), torch.arange(last - first)] = 1.0
        A[:, first:last] = H @ units
        if progress is not None:
            progress(last, H.dim)
    if not bool(A.isfinite().all()):
        column = int((~A.isfinite().all(0)).nonzero()[0, 0])
        raise LandscapeError(
            f"the product with unit vector {column} gave NaN or Inf. Check the loss and its gradient at this point; "
            "where they are finite, try float64"
        )
    A = (A + A.T) / 2
    kind = ExactParametricOperator if isinstance(H, ParametricOperator) else ExactOperator
    return kind(H, A, num_matvecs=H.dim)  # type: ignore[arg-type]


def _parametric(H: ParametricOperator) -> ExactParametricOperator:
    formed = _formed(H)
    assert isinstance(formed, ExactParametricOperator)
    return formed


def _places(objective: Objective, names: list[str]) -> Tensor:
    """Where the parameters with these names stand in θ."""
    slices = objective.layout.slices()
    return torch.cat([torch.arange(slices[name].start, slices[name].stop) for name in names])


def _bytes(H: LinearOperator) -> float:
    return 8.0 * _MATRICES * H.dim**2


def _has_room(H: LinearOperator, memory: float) -> bool:
    return isinstance(H, ExactOperator) or _bytes(H) <= memory
