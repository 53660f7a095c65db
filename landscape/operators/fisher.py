"""The Fisher information of a model's labels, exact, from sampled labels, or from those of the data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import ObjectiveError, UsageError
from landscape.objective import Objective, Vector
from landscape.operators.gauss_newton import OutputCurvature, ThroughOutputsOperator
from landscape.operators.jacobian import OutputJacobian, Tangents
from landscape.operators.likelihood import LIKELIHOODS, Likelihood, find_likelihood, has_class_weights, recognise

KINDS = ("exact", "mc", "empirical")
#: Chunks must weigh their examples alike, to this relative difference.
_EVEN = 1e-6


class FisherOperator(ThroughOutputsOperator):
    r"""The Fisher information matrix of the labels given the inputs, or what is taken for it.

    With :math:`w_u` the weight of unit u in the loss :math:`\sum_u w_u \ell_u` (1/N for N examples), and
    :math:`\ell_u = -\log p(y_u \mid f_u)` up to a constant:

    ========================  ==========================================================================================
    ``kind``                  matrix
    ========================  ==========================================================================================
    ``"exact"``               :math:`\sum_u w_u\, \mathrm{E}_{y \sim p(\cdot\mid f_u)} \nabla\ell_u \nabla\ell_u^\top`,
                              the mean over the model's own labels in closed form. Equal to the Gauss-Newton matrix of
                              the loss.
    ``"mc"``                  The mean replaced by ``num_samples`` labels, drawn once when the operator is made: an
                              unbiased estimate of the exact matrix. Each sampled matrix is positive semidefinite.
    ``"empirical"``           The labels of the data: :math:`\sum_u w_u\, g_u g_u^\top`. This is **not** a Fisher
                              information, nor an estimate of one (Kunstner et al. 2019).
    ========================  ==========================================================================================

    A unit is what one label belongs to: under cross-entropy a position of the outputs without the class dimension, an
    example or a token that counts; under squared error and binary cross-entropy each number among the outputs. Where
    ``"empirical"`` has no likelihood a unit is an example, a row along the first dimension of the outputs, and its loss
    what ``loss_fn`` gives for it alone; name ``likelihood="categorical"`` to have tokens.

    Parameters
    ----------
    objective : Objective
        Of ``Objective(model, loss_fn, data)``; outputs are one tensor (for ``"empirical"`` without a likelihood, any
        nest of tensors that share their first dimension).
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    kind : {"exact", "mc", "empirical"}
    likelihood : {"categorical", "gaussian", "bernoulli"}, optional
        Left out, what the objective says, else read off ``cross_entropy``, ``mse_loss`` or
        ``binary_cross_entropy_with_logits`` of torch, as function, module or ``functools.partial``. Either way it is
        held against the loss's own second derivative by the outputs, which sets the scale: the Gaussian's variance is 1
        for ``½Σ(f − y)²``, C/2 for ``mse_loss`` over C outputs, and binary cross-entropy divides by the number of
        outputs. Categorical logits stand along the last dimension, or dimension 1.
    num_samples : int
        Labels drawn for each unit, ``kind="mc"`` only. Costs memory, not time.
    seed : int
        Of these labels. They depend neither on the chunk size nor on which parameters are in θ.
    route, memory :
        As for :class:`GaussNewtonOperator`, and so is the cost of a matvec.

    Attributes
    ----------
    theta : (P,) tensor
    kind, route : str
    likelihood : str or None
        What was named or recognised.

    Raises
    ------
    UsageError
        If no likelihood is known for ``"exact"`` or ``"mc"``, or the loss has class weights.
    ObjectiveError
        If the loss is not of the likelihood named; or the objective was made by ``from_loss``.

    References
    ----------
    Amari (1998), Natural gradient works efficiently in learning, Neural Computation 10(2).
    Martens (2020), JMLR 21, sections 5 and 9.2. Kunstner, Balles & Hennig (2019), NeurIPS 32, eqs. 3 and 4.

    Examples
    --------
    >>> import torch
    >>> import landscape as ls
    >>> x, y = torch.tensor([[2.0], [1.0]]), torch.tensor([[0.0], [1.0]])
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> objective = ls.Objective(model, torch.nn.functional.binary_cross_entropy_with_logits, (x, y))
    >>> FisherOperator(objective).dense()  # mean of p(1−p)x² = (1 + ¼)/2
    tensor([[0.6250]])
    """

    def __init__(
        self,
        objective: Objective,
        theta: Vector | None = None,
        *,
        kind: str = "exact",
        likelihood: str | None = None,
        num_samples: int = 1,
        seed: int = 0,
        route: str = "auto",
        memory: int | None = None,
    ) -> None:
        check_choice("kind", kind, KINDS)
        check_choice("likelihood", likelihood, (None, *LIKELIHOODS))
        self.kind, self.num_samples, self.seed = kind, check_count("num_samples", num_samples), check_seed(seed)
        self._named = likelihood
        self._model_of_labels: Likelihood | None = None
        self._drawn: list[Tensor] = []
        super().__init__(objective, theta, route=route, memory=memory)

    @property
    def likelihood(self) -> str | None:
        """``"categorical"``, ``"gaussian"``, ``"bernoulli"``, or None where the loss was not recognised."""
        return None if self._model_of_labels is None else self._model_of_labels.name

    def _like(self, objective: Objective, theta: Tensor) -> FisherOperator:
        return FisherOperator(
            objective,
            theta,
            kind=self.kind,
            likelihood=self._named,
            num_samples=self.num_samples,
            seed=self.seed,
            route=self._requested,
            memory=self._memory,
        )

    def _prepare(self) -> None:
        jacobian = OutputJacobian(self._parts, 0, self._leaves, mode="jvp")
        named = self._named or self._parts.likelihood
        if named is None and not (self.kind == "empirical" and has_class_weights(self._parts.loss_fn)):
            named = recognise(self._parts.loss_fn)
        if named is not None and len(jacobian.outputs) == 1:
            self._model_of_labels = find_likelihood(
                named, self._parts.loss_fn, lambda f: jacobian.loss_of([f]), jacobian.outputs[0].detach()
            )
        if self._model_of_labels is None and (self.kind != "empirical" or self._named is not None):
            outputs = "one tensor" if len(jacobian.outputs) == 1 else f"{len(jacobian.outputs)} tensors"
            raise UsageError(
                f"kind={self.kind!r}: no likelihood is known for the loss {self.objective.loss_name} on {outputs}. If "
                "it is the negative log-likelihood of its one output tensor, say likelihood='categorical', 'gaussian' "
                "or 'bernoulli'; if not, use GaussNewtonOperator or kind='empirical'"
            )
        if self.kind == "mc":
            self._draw_labels()
        if self.kind == "empirical" and not self._units_are_positions():
            self._check_even_examples()

    def _can_be_shared(self) -> bool:
        """Sampled labels are drawn in one stream, through all of the data."""
        return self.kind != "mc"

    def _units_are_positions(self) -> bool:
        return self.likelihood == "categorical"

    def _draw_labels(self) -> None:
        """One stream through all chunks, example after example: how the data are cut makes no difference."""
        assert self._model_of_labels is not None
        rng = np.random.default_rng(self.seed)
        for index in range(len(self._parts.shares)):
            (f,) = self._outputs_of(index)
            self._drawn.append(self._model_of_labels.draw(f, rng, self.num_samples))

    def _outputs_of(self, index: int) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return OutputJacobian(self._parts, index, [t.detach() for t in self._leaves], mode="jvp").outputs

    def _check_even_examples(self) -> None:
        """Rows of the outputs are the examples only if every chunk gives each row the same weight in L."""
        if self.objective.interacting:
            raise ObjectiveError(
                "kind='empirical' takes the loss of each example by itself, and here examples interact: there is none. "
                "Use GaussNewtonOperator, or FisherOperator with a likelihood of the outputs"
            )
        rows: list[float] = []
        for index, share in enumerate(self._parts.shares):
            lengths = {tuple(f.shape[:1]) for f in self._outputs_of(index)}
            if len(lengths) != 1 or () in lengths:
                raise ObjectiveError(
                    "kind='empirical' takes the first dimension of the outputs for the examples; these share none"
                )
            rows.append(share / lengths.pop()[0])
        if max(rows) - min(rows) > _EVEN * max(rows):
            raise ObjectiveError(
                "kind='empirical': a row of the outputs weighs more in some chunks than in others, so rows are not "
                "what the loss is a mean over. Where tokens are, say likelihood='categorical'"
            )

    def _curvature(self, index: int, jacobian: OutputJacobian) -> OutputCurvature:
        if self.kind == "empirical":
            return self._outer_products(jacobian)
        assert self._model_of_labels is not None
        labels, (f,) = self._model_of_labels, (output.detach() for output in jacobian.outputs)
        weights = labels.spread(labels.weights(lambda g: jacobian.loss_of([g]), f), f)

        def exact(tangents: Tangents) -> Tangents:
            return [weights * labels.information(f, tangents[0])]

        def sampled(tangents: Tangents) -> Tangents:
            return [weights * labels.sampled(f, self._drawn[index], tangents[0])]

        return exact if self.kind == "exact" else sampled

    def _outer_products(self, jacobian: OutputJacobian) -> OutputCurvature:
        """``r rᵀ / w`` of each unit, r = the gradient of the chunk's mean loss by the unit's outputs, w its weight."""
        points = [output.detach().clone().requires_grad_() for output in jacobian.outputs]
        with torch.enable_grad():
            slopes = torch.autograd.grad(jacobian.loss_of(points), points, allow_unused=True)
        r = [torch.zeros_like(p) if s is None else s for s, p in zip(slopes, points, strict=True)]
        if self._units_are_positions():
            assert self._model_of_labels is not None
            labels, f = self._model_of_labels, points[0].detach()
            weights = labels.spread(labels.weights(lambda g: jacobian.loss_of([g]), f), f)
            scaled = torch.where(weights > 0, r[0] / weights.clamp_min(torch.finfo(f.dtype).tiny), 0.0)

            def by_position(tangents: Tangents) -> Tangents:
                return [scaled * labels.spread(labels.per_unit(r[0] * tangents[0]), f)]

            return by_position
        rows = len(r[0])

        def by_row(tangents: Tangents) -> Tangents:
            pairs = zip(r, tangents, strict=True)
            each = [(slope * t).reshape(len(t), rows, -1).sum(2) for slope, t in pairs]
            along = torch.stack(each).sum(0)  # rᵀt of every example: (K, rows)
            return [rows * slope * along.reshape(*along.shape, *[1] * (slope.ndim - 1)) for slope in r]

        return by_row
