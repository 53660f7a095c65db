"""Trace and diagonal of an objective's Hessian as sums over its examples: which terms it has."""

from __future__ import annotations

from functools import cached_property

import torch

from landscape import hvp
from landscape.errors import ObjectiveError
from landscape.objective import Objective, Vector
from landscape.objective.functional import Parts
from landscape.operators.by_example.bends import look_for_bends
from landscape.operators.by_example.gradients import PerExample
from landscape.operators.by_example.probed import HessianTerm, ResidualTerm
from landscape.operators.by_example.residual import ResidualParts
from landscape.operators.by_example.terms import GaussNewtonTerm, Outputs, Term

#: Examples on which it is tried that gradients are Jᵀ∂ℓ/∂z, and that they are had of single examples.
FEW = 8
_AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}


class SumsOverExamples:
    r"""``H = G + R``: the Gauss-Newton matrix, and the Hessian of :math:`\langle s, z(\theta)\rangle` with the slopes
    :math:`s = \partial\ell/\partial z` of the loss by the outputs held fixed.

    G is a sum of squares of gradients of single examples, of which nothing is left to probes. At a trained minimum the
    curvature and the slopes of the loss sit in few examples; one pass forward over the data says in which, and they
    are drawn accordingly. Networks of layers and kinks alone have nothing of R on their diagonal, and G is then the one
    term. Where the loss does not say where the model ends, H is one term, of examples drawn alike.

    Parameters
    ----------
    objective : Objective
        On examples that can be cut.
    theta : (P,) tensor or array, optional
    entries : bool
        Whether what is summed are the entries of the diagonal, (P,), or its parts by tensor of θ, (K,).

    Attributes
    ----------
    num_examples : int

    Raises
    ------
    ObjectiveError
        Where examples cannot be taken one by one.

    References
    ----------
    Schraudolph (2002), Neural Computation 14(7), eq. 10, for G and R. Goodfellow (2015), arXiv:1510.01799, and Dangel,
    Kunstner & Hennig (2020), BackPACK, ICLR, for gradients of single examples.
    """

    def __init__(self, objective: Objective, theta: Vector | None = None, *, entries: bool = False) -> None:
        if not objective.can_pick:
            raise ObjectiveError("examples cannot be taken one by one: batches stay as they came")
        self.objective, self.theta, self._entries = objective, objective.point(theta), entries
        self.num_examples, self.layout = objective.num_examples, objective.layout
        self._outputs: Outputs | None = None
        self._reason, self._looking = "", 0.0

    @cached_property
    def terms(self) -> list[Term]:
        """Found out when first asked for, on a few examples."""
        try:
            return self._two(self._entries)
        except ObjectiveError as error:
            self._reason = str(error)
            return [HessianTerm(self.objective, self.theta, entries=self._entries)]

    @property
    def reason(self) -> str:
        """Why there is one term; empty where there are two."""
        assert self.terms
        return self._reason

    @property
    def work(self) -> float:
        """Example-products so far: a gradient of an example counts half, a loss a sixth."""
        return sum(term.work for term in self.terms) + self._looking + (self._outputs.work if self._outputs else 0.0)

    def _two(self, entries: bool) -> list[Term]:
        if not self.objective.module.is_separable:
            raise ObjectiveError("from_loss does not say where the model ends")
        few = self.objective.on_first(FEW)
        self._check_reads_no_theta(few)
        gradients = PerExample(self.objective.parts(), self.theta, few=few.parts())
        if gradients.way == "one by one":
            raise ObjectiveError("neither rules for layers nor vmap give gradients of single examples")
        self._outputs = Outputs(self.objective, self.theta, few)
        terms: list[Term] = [GaussNewtonTerm(self._outputs, gradients, entries=entries)]
        bends, self._looking = look_for_bends(self.objective, self.theta)
        return [*terms, ResidualTerm(self._outputs, entries=entries)] if bends else terms

    def _check_reads_no_theta(self, few: Objective) -> None:
        """∇L = Jᵀ∂ℓ/∂z, here and nearby: a penalty inside the loss would be in neither G nor R."""
        parts, generator = few.rechunked(FEW).parts(), torch.Generator().manual_seed(0)
        noise = torch.randn(self.theta.shape, generator=generator, dtype=torch.float64).to(self.theta)
        aside = self.theta + 0.01 * max(float(self.theta.norm()), 1.0) / float(noise.norm()) * noise
        for point in (self.theta, aside):
            truth = hvp.loss_and_gradient(parts, point)[1]
            with parts.borrowed():
                ours = _pulled(parts, point)
            size = max(float(truth.norm()), float(ours.norm()))
            if not float((truth - ours).norm()) <= _AGREEMENT[self.theta.dtype] * size:
                raise ObjectiveError("the loss reads the parameters itself, beside the model's outputs")


def _pulled(parts: Parts, point: torch.Tensor) -> torch.Tensor:
    """Jᵀs, with the slopes of the loss as they are at the point."""
    return hvp.loss_and_gradient(ResidualParts(parts, point), point)[1]
