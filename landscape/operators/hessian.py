"""The Hessian of an objective as a symmetric operator."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from landscape import hvp
from landscape.objective import Objective, Vector
from landscape.operators.base import LinearOperator


class HessianOperator(LinearOperator):
    r"""``H @ v`` = :math:`\nabla^2 L(\theta)\,v`, with θ and everything else fixed when the operator is made.

    Parameters
    ----------
    objective : Objective
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    route : {"auto", "fresh", "retained", "linearized"}
        ``"fresh"`` and ``"retained"`` are double backward; the latter keeps the gradient's graph, which about halves
        the time of a matvec and holds memory in proportion to the data. ``"auto"`` keeps it where it fits.
        ``"linearized"`` traces the gradient once by forward mode, which pays on convolutions and many matvecs; where
        it does not work, or does not agree with double backward, it is left for ``"auto"``.
    memory : int
        Bytes that kept graphs may take.

    Attributes
    ----------
    theta : (P,) tensor
    route : str
        The way taken.

    Raises
    ------
    ObjectiveError
        On the first product, if a part of the model has no second derivative.

    Notes
    -----
    One matvec costs 1.2-2.4 gradients with kept graphs, 2.4-4 without, about 1.3 linearized (LeNet-5, CPU). Relative
    error against the dense float64 Hessian of small networks: about 1e-6 in float32 and 1e-15 in float64.

    References
    ----------
    Pearlmutter (1994), Fast exact multiplication by the Hessian, Neural Computation 6(1), eq. 2.

    Examples
    --------
    >>> import torch
    >>> import landscape as ls
    >>> x, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> objective = ls.Objective(model, lambda f, t: ((f - t) ** 2).sum(1).mean() / 2, (x, y))
    >>> ls.HessianOperator(objective).dense()
    tensor([[2.0000, 0.0000],
            [0.0000, 0.5000]])
    """

    def __init__(
        self,
        objective: Objective,
        theta: Vector | None = None,
        *,
        route: str = "auto",
        memory: int = hvp.DEFAULT_MEMORY,
    ) -> None:
        self.objective = objective
        self.theta = objective._point(theta)
        super().__init__(objective.layout.size, dtype=objective.dtype, device=objective.device)
        self._product = hvp.choose(objective.parts(), self.theta, route=route, memory=memory)

    @property
    def route(self) -> str:
        """The way taken: ``"retained"``, ``"fresh"`` or ``"linearized"``."""
        return self._product.name

    def _matvec(self, v: Tensor) -> Tensor:
        return self._product(v)

    def block(self, pattern: str | Sequence[str]) -> HessianOperator:
        """The diagonal block of the parameters whose names match: the Hessian of L in them alone, at the same point."""
        part = self.objective.restricted(pattern, at=self.theta)
        theta = part.layout.flatten(self.objective.layout.unflatten(self.theta))
        return HessianOperator(part, theta, route=self.route)
