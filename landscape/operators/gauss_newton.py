"""Curvature that passes through the model's outputs, Σ share·JᵀBJ: the generalized Gauss-Newton matrix and its kin."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from landscape import hvp
from landscape.checks import check_choice
from landscape.device import widened
from landscape.errors import ObjectiveError
from landscape.objective import Objective, Vector
from landscape.operators.jacobian import OutputJacobian, Tangents, transposed
from landscape.operators.parametric import ParametricOperator

if TYPE_CHECKING:
    from landscape.distributed import Group

ROUTES = ("auto", "fresh", "retained", "linearized")
#: Columns multiplied at once, and bytes that they take while they are: the same on every machine.
_MOST_COLUMNS, _WORKING = 16, 2 * 2**30
_UNSUPPORTED = (RuntimeError, NotImplementedError, TypeError, AttributeError)

#: B of one chunk: a symmetric map of output tangents ``(K, *shape)``.
OutputCurvature = Callable[[Tangents], Tangents]


class ThroughOutputsOperator(ParametricOperator):
    """``Σ share·JᵀBJ`` over chunks, with J the Jacobian of a chunk's outputs; a subclass says what B is.

    Parameters and attributes are those of :class:`GaussNewtonOperator`.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Vector | None = None,
        *,
        route: str = "auto",
        memory: int | None = None,
    ) -> None:
        check_choice("route", route, ROUTES)
        super().__init__(objective, theta)
        self._requested, self._parts = route, objective.parts()
        self._memory = hvp.allowed(memory, objective.device)
        self._sums = objective.sums if self._can_be_shared() else None
        with self._parts.borrowed():
            self._leaves = [t.detach().clone().requires_grad_() for t in objective.layout.split(self.theta)]
            self._prepare()
            self._settle(route)
            if self._sums is not None:
                self._parts = objective.own_parts()
            self._kept = hvp.on_all_ranks(self._keep, "linearising the outputs") if self.route != "fresh" else None

    def _prepare(self) -> None:
        """What a subclass must know before B can be made."""

    @property
    def group(self) -> Group | None:
        """The ranks among which the data are shared out."""
        return None if self._sums is None else self._sums.group

    def _can_be_shared(self) -> bool:
        """Whether ranks can make their parts of the data apart."""
        return True

    def _keep(self) -> list[tuple[OutputJacobian, OutputCurvature]]:
        return [self._linearise(index) for index in range(len(self._parts.shares))]

    @abstractmethod
    def _curvature(self, index: int, jacobian: OutputJacobian) -> OutputCurvature:
        """B of chunk ``index``."""

    def _settle(self, route: str) -> None:
        """Choose the route by the size of the graphs, counted on the first chunk and scaled to the data."""
        held = hvp.count_saved_bytes(lambda: OutputJacobian(self._parts, 0, self._leaves, mode="jvp"))
        total = int(held / self._parts.shares[0] * (1.0 if self._sums is None else self._sums.largest))
        self.route = route if route in ("fresh", "retained") else ("retained" if total <= self._memory else "fresh")
        if route == "linearized" and 2 * total <= self._memory and self._works("linearized"):
            self.route, self._mode = "linearized", "linearized"
        else:
            self._mode = self._mode_that_works()
        # Several columns at once multiply a chunk's working memory; convolutions gain nothing from it.
        convolutional = any(isinstance(part, nn.modules.conv._ConvNd) for part in self._parts.model.modules())
        fitting = min(self._memory, _WORKING) // max(2 * held, 1)
        self._columns = 1 if convolutional else max(1, min(_MOST_COLUMNS, fitting))

    def _mode_that_works(self) -> str:
        for mode in ("jvp", "double"):
            if self._works(mode):
                return mode
        raise ObjectiveError(
            "the Jacobian of the model's outputs by θ cannot be had: forward mode and double backward both fail, give "
            "numbers that are not finite, or not the transpose of what backward gives. Likely causes: norm() or sqrt() "
            "of something that is zero here (put a small number into the root), a custom autograd.Function whose "
            "backward is not the derivative of its forward"
        )

    def _works(self, mode: str) -> bool:
        try:
            return OutputJacobian(self._parts, 0, self._leaves, mode=mode).agrees_both_ways()
        except _UNSUPPORTED:
            return False

    def _linearise(self, index: int) -> tuple[OutputJacobian, OutputCurvature]:
        jacobian = OutputJacobian(self._parts, index, self._leaves, mode=self._mode)
        return jacobian, self._curvature(index, jacobian)

    def _matvec(self, v: Tensor) -> Tensor:
        return self._summed(lambda: self._product(v[:, None])[:, 0], v)

    def _summed(self, own: Callable[[], Tensor], like: Tensor) -> Tensor:
        """Over ranks, where each makes its part."""
        return own() if self._sums is None else self._sums.tensor(own, like, [like], f"products {tuple(like.shape)}")

    def quadratic_form(self, v: Vector) -> float:
        """``vᵀAv`` by the way to the outputs alone: a pass forward with tangents, and no way back."""
        direction = self.objective.point(v)
        if self._sums is None:
            return self._form(direction)
        return self._sums.number(lambda: self._form(direction), [direction], "a quadratic form")

    def _form(self, v: Tensor) -> float:
        rows, total = v[None], 0.0
        with self._parts.borrowed(), torch.enable_grad():
            directions = self.objective.layout.split_rows(rows)
            for index, share in enumerate(self._parts.shares):
                jacobian, curvature = self._linearise(index) if self._kept is None else self._kept[index]
                image = jacobian.push(directions)
                pairs = zip(image, curvature(image), strict=True)
                total += share * sum(float(widened(there * bent).sum()) for there, bent in pairs)
        return total

    def _matmat(self, V: Tensor) -> Tensor:
        return self._summed(lambda: self._block(V).T, V.T).T

    def _block(self, V: Tensor) -> Tensor:
        if self._columns > 1:
            try:
                return torch.cat([self._product(block) for block in V.split(self._columns, dim=1)], dim=1)
            except (RuntimeError, NotImplementedError):
                self._columns = 1  # an operation that vmap does not know; an error of another kind shows again below
        return torch.cat([self._product(column) for column in V.split(1, dim=1)], dim=1)

    def _product(self, V: Tensor) -> Tensor:
        """The products with the columns of V (P, K), all at once."""
        layout, count = self.objective.layout, V.shape[1]
        with self._parts.borrowed(), torch.enable_grad(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="There is a performance drop")
            rows = V.T.clone(memory_format=torch.contiguous_format)  # a copy, for V may be an inference tensor
            directions = layout.split_rows(rows)
            out = torch.zeros_like(rows)
            for index, share in enumerate(self._parts.shares):
                jacobian, curvature = self._linearise(index) if self._kept is None else self._kept[index]
                bent = curvature(jacobian.push(directions))
                pulled = jacobian.pull(bent, keep=self._kept is not None)
                out.add_(torch.cat([p.reshape(count, -1) for p in pulled], dim=1), alpha=share)
        return out.T


class GaussNewtonOperator(ThroughOutputsOperator):
    r"""``G @ v`` = :math:`\sum_b \frac{n_b}{\sum n} J_b^\top \nabla_f^2 L_b(f)\, J_b\, v`, with
    :math:`J_b = \partial f_b / \partial\theta` the Jacobian of chunk b's outputs and :math:`L_b` its mean loss.

    The part of the Hessian that the curvature of the loss makes, without that of the model; nothing is sampled.
    Positive semidefinite where the loss is convex in the outputs. Equal to the Hessian where the model is linear in θ,
    or fits so well that the loss has no gradient at its outputs. A term of the loss that reads the parameters directly,
    such as a weight penalty written into ``loss_fn``, adds nothing here; add its matrix:
    ``G + c * IdentityOperator(P)``.

    Parameters
    ----------
    objective : Objective
        Of ``Objective(model, loss_fn, data)``: loss and model must be apart. Outputs may have any shape, or be a tuple,
        list or dict of tensors.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    route : {"auto", "fresh", "retained", "linearized"}
        ``"retained"`` keeps the graph of the outputs of all chunks; ``"fresh"`` makes it anew for each product, in the
        memory of one chunk. ``"auto"`` keeps where it fits. ``"linearized"`` also traces the forward tangents once,
        about a quarter of a second a chunk, in twice the memory; where it does not fit or work, it is left for
        ``"auto"``.
    memory : int, optional
        Bytes that kept graphs may take; left out, as in :class:`HessianOperator`.

    Attributes
    ----------
    theta : (P,) tensor
    route : str
        The way taken: ``"fresh"``, ``"retained"`` or ``"linearized"``. One matvec is a forward pass with tangents and a
        backward pass: by count of operations 2, 1.7 and 1.3 gradients.

    Raises
    ------
    ObjectiveError
        If the objective was made by ``from_loss``; if the loss has no curvature in the outputs, as ``nll_loss`` on
        log-probabilities is, so that the matrix would be zero; or if a derivative is missing or not finite.

    References
    ----------
    Schraudolph (2002), Fast curvature matrix-vector products, Neural Computation 14(7), section 3.
    Martens (2020), New insights and perspectives on the natural gradient method, JMLR 21, section 8.

    Examples
    --------
    >>> import torch
    >>> import landscape as ls
    >>> x, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> objective = ls.Objective(model, lambda f, t: ((f - t) ** 2).sum(1).mean() / 2, (x, y))
    >>> GaussNewtonOperator(objective).dense()
    tensor([[2.0000, 0.0000],
            [0.0000, 0.5000]])
    """

    def _prepare(self) -> None:
        """Refuse a loss without curvature in the outputs: the first chunk that has some ends the search."""
        for index in range(len(self._parts.shares)):
            jacobian = OutputJacobian(self._parts, index, self._leaves, mode="jvp")
            generator = torch.Generator().manual_seed(0)
            z = [torch.randn((1, *f.shape), generator=generator, dtype=torch.float64).to(f) for f in jacobian.outputs]
            curvature = loss_curvature(jacobian)(z)
            if not all(bool(bent.isfinite().all()) for bent in curvature):
                raise ObjectiveError(
                    f"the second derivative of the loss by the model's outputs is NaN or infinite on chunk {index}. "
                    "Likely causes: norm() or sqrt() of something that is zero there (put a small number into the "
                    "root, or write a squared norm as a sum of squares), log of zero"
                )
            if any(bool(bent.any()) for bent in curvature):
                return
        raise ObjectiveError(
            "the loss has no curvature in the model's outputs, so its Gauss-Newton matrix is zero. Where the model "
            "ends in log_softmax and the loss is nll_loss, let it return logits and use cross_entropy; else use "
            "HessianOperator"
        )

    def _curvature(self, index: int, jacobian: OutputJacobian) -> OutputCurvature:
        return loss_curvature(jacobian)

    def _like(self, objective: Objective, theta: Tensor) -> GaussNewtonOperator:
        return GaussNewtonOperator(objective, theta, route=self._requested, memory=self._memory)


def loss_curvature(jacobian: OutputJacobian) -> OutputCurvature:
    """The exact Hessian of a chunk's mean loss by its outputs, as a map of tangents."""
    points = [output.detach().clone().requires_grad_() for output in jacobian.outputs]
    with torch.enable_grad():
        loss = jacobian.loss_of(points)
        slopes: Sequence[Tensor | None] = [None] * len(points)
        if loss.requires_grad:
            slopes = torch.autograd.grad(loss, points, create_graph=True, allow_unused=True)
    given = [torch.zeros_like(p) if s is None else s for s, p in zip(slopes, points, strict=True)]

    def apply(tangents: Tangents) -> Tangents:
        try:
            return transposed(given, points, tangents, keep=True)
        except RuntimeError as error:
            if "not implemented" not in str(error):
                raise
            raise ObjectiveError(
                f"the loss has no second derivative in torch ({str(error).splitlines()[0]}). "
                "Write it in differentiable torch operations"
            ) from error

    return apply
