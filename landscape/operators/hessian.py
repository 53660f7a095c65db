"""The Hessian of an objective as a symmetric operator."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from landscape import hvp
from landscape.checks import check_count
from landscape.errors import ObjectiveError, is_out_of_memory
from landscape.objective import Objective, Vector
from landscape.operators.by_example import SumsOverExamples
from landscape.operators.parametric import ParametricOperator

if TYPE_CHECKING:
    from landscape.distributed import Group

#: Fewer columns than this are multiplied one after another.
SMALLEST_BLOCK = 4

T = TypeVar("T")

check_route = hvp.check_route


class HessianOperator(ParametricOperator):
    r"""``H @ v`` = :math:`\nabla^2 L(\theta)\,v`, with θ and everything else fixed when the operator is made.

    Parameters
    ----------
    objective : Objective
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    route : str
        ``"auto"`` tries what is possible on the first chunk and takes the fastest that agrees with double backward;
        the others are taken as named:

        - ``"fresh"``, ``"retained"``: double backward; the latter keeps the gradient's graphs;
        - ``"linearized"``, ``"forward"``: the gradient recorded once as a linear map by forward mode; the latter keeps
          nothing between products;
        - ``"compiled"``, ``"compiled-forward"``: the same maps compiled; tens of seconds, once;
        - ``"…/channels-last"``, ``"…/blocks-8"``: any of these four, with images laid out channels last; with 16, 8 or
          4 vectors at once;
        - ``"differences"``: central ones of gradients, for models without a second derivative (with ``check=False``).
    memory : int, optional
        Bytes that may be kept between products; left out, two fifths of what is free, of which a process on a CPU has
        the share that its threads are of the cores, and at least 2 GiB. A named route that would keep more gives way to
        the one of the same numbers that keeps nothing.
    expected_matvecs : int
        Products that the time spent on recording and compiling must be earned back by.

    Attributes
    ----------
    theta : (P,) tensor
    route : str
        The way taken; asked for by this name, a later operator rounds as this one does. One matvec costs 0.8-1.5
        gradients recorded, 1.2-2.5 with kept graphs, 2.3-4.8 fresh; its error: docs/accuracy.md.
    plan : RoutePlan
        What was tried and how it did; prints as a table.

    Raises
    ------
    ObjectiveError
        If a part of the model has no second derivative (with ``"auto"`` on the first product), or one that is not
        finite, or a route asked for by name is impossible.

    Warns
    -----
    RuntimeWarning
        Where memory runs out: the chunks are halved, once, and the product made again.

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
        memory: int | None = None,
        expected_matvecs: int = hvp.DEFAULT_MATVECS,
    ) -> None:
        super().__init__(objective, theta)
        self._memory = hvp.allowed(memory, objective.device)
        self._expected = check_count("expected_matvecs", expected_matvecs)
        self._requested, self._halved = route, False
        self._blocks = None if route == "auto" else "as the route says"
        self._product, self.plan = self._with_room(self._plan)

    def at(self, theta: Vector) -> HessianOperator:
        """The Hessian of the same objective at another point, by the same route, recorded and compiled no second time.

        Buffers and parameters outside θ are taken as they are now. Where kept graphs or residuals were made for this
        point, those of the other are made: one to two gradients; what was recorded is held against the loss there, a
        forward pass. Only where the model takes another course there than the one that was recorded, as where a mask
        lets another number of examples through, is it recorded anew; with ``route="auto"``, where that is impossible,
        another route is taken.

        Raises
        ------
        ObjectiveError
            If the second derivative is not finite there, or a route that was asked for by name is impossible.
        """
        twin = copy.copy(self)
        twin.theta = self.objective.point(theta)
        try:
            twin._product = hvp.again(self._product, self.objective.own_parts(), twin.theta)
        except ObjectiveError:
            if self._requested != "auto":
                raise
            twin._product, twin.plan = twin._with_room(twin._plan)
        return twin

    def over_examples(self, *, entries: bool = False) -> SumsOverExamples:
        """The same Hessian as a sum over examples, of which trace and diagonal are had from examples that are drawn.

        Raises
        ------
        ObjectiveError
            Where examples cannot be taken one by one: batches that stay whole, ``mode="train"``.
        """
        return SumsOverExamples(self.objective, self.theta, entries=entries)

    @property
    def group(self) -> Group | None:
        """The ranks among which the data are shared out."""
        return None if self.objective.sums is None else self.objective.sums.group

    @property
    def route(self) -> str:
        """The way taken."""
        return self._product.name

    def _plan(self) -> tuple[hvp.Product, hvp.RoutePlan]:
        return hvp.make(
            self.objective.own_parts(),
            self.theta,
            route=self._requested,
            memory=self._memory,
            expected_matvecs=self._expected,
            sums=self.objective.sums,
        )

    def _matvec(self, v: Tensor) -> Tensor:
        return self._with_room(lambda: self._product(v))

    def _matmat(self, V: Tensor) -> Tensor:
        if self._blocks is None and V.shape[1] >= SMALLEST_BLOCK:
            recording = max((c.preparing for c in self.plan.candidates if c.route == self.route), default=0.0)
            self._blocks = hvp.consider_blocks(
                self._product, self.objective.own_parts(), self.theta, memory=self._memory, expected=self._expected,
                recording=recording,
            )  # fmt: skip
            self.plan = replace(self.plan, reason=f"{self.plan.reason}; several vectors {self._blocks}")
        return self._with_room(lambda: self._product.block(V))

    def _with_room(self, work: Callable[[], T]) -> T:
        """Do it; where memory runs out, halve the chunks, once for this operator, and do it again."""
        chunk = self.objective.chunk
        try:
            return work()
        except RuntimeError as error:  # torch's own error for a lack of memory is one
            if not is_out_of_memory(error) or self._halved or not chunk or chunk < 2:
                raise
        warnings.warn(
            f"out of memory with chunks of {chunk} examples; going on with {-(-chunk // 2)}. Pass chunk= to Objective, "
            "or a smaller memory=, to avoid this",
            RuntimeWarning,
            stacklevel=4,
        )
        self._halved = True
        self.objective = self.objective.rechunked(-(-chunk // 2))
        made = self._plan()
        self._product, self.plan = made
        return work() if work != self._plan else made  # type: ignore[return-value]

    def _plainly(self, objective: Objective, theta: Tensor) -> HessianOperator:
        route = self._requested if self._requested == "differences" else "fresh"
        return HessianOperator(objective, theta, route=route, memory=self._memory, expected_matvecs=1)

    def _like(self, objective: Objective, theta: Tensor) -> HessianOperator:
        return HessianOperator(
            objective, theta, route=self._requested, memory=self._memory, expected_matvecs=self._expected
        )
