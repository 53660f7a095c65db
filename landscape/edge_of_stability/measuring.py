"""The measures of one point of a training, each made once and only if it applies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from torch import Tensor

from landscape.checkpoints import Checkpoint
from landscape.edge_of_stability.batches import batch_sharpness
from landscape.edge_of_stability.critical import critical_sharpness
from landscape.edge_of_stability.directional import directional_sharpness
from landscape.edge_of_stability.generalized import generalized_sharpness
from landscape.edge_of_stability.preconditioned import preconditioned_operator
from landscape.edge_of_stability.rebuilding import Make, rebuilt
from landscape.edge_of_stability.settings import Settings
from landscape.edge_of_stability.thresholds import NO_THRESHOLD, Threshold, batch_threshold, curvature_threshold, over
from landscape.edge_of_stability.updates import Optimizers, optimizer_update
from landscape.errors import LandscapeError, UsageError
from landscape.estimators import top_eigenpairs
from landscape.objective import Objective
from landscape.operators import HessianOperator, LinearOperator
from landscape.progress import say
from landscape.results import Eigenpairs, Estimate, GeneralizedSharpness, OptimizerUpdate, Stability

#: class of an optimizer → the norm in which it steps
NORM_OF = {"Lion": "linf", "SignSGD": "linf", "Muon": "spectral"}
#: Products of each eigenvalue, and of each ascent in a norm.
_MATVECS, _ASCENT_STEPS = 300, 25
#: Batches at most, in passes over the data, and at least.
_PASSES, _FEW_BATCHES = 8, 16
#: What a gradient costs, in products.
_GRADIENT = 0.5


@dataclass(frozen=True)
class Known:
    """What there is already at a point: the Hessian, its largest eigenpairs, loss and gradient, the update."""

    hessian: LinearOperator | None = None
    eigs: Eigenpairs | None = None
    loss_and_gradient: tuple[float, Tensor] | None = None
    update: OptimizerUpdate | None = None


def batch_size_of(checkpoint: Checkpoint) -> int:
    """That of its training; 0 where none is known."""
    size = checkpoint.config.get("batch_size")
    return size if isinstance(size, int) and size > 0 else 0


class Measuring:
    """Measures of stability at an objective's θ.

    Parameters
    ----------
    objective : Objective
    source : Optimizer, sequence of them, or Checkpoint
    lr : float, optional
        η in place of that of the source.
    batch_size : int
        0 where none is known.
    num_batches : int, optional
        So many batches for batch sharpness; left out, until ``5·tol`` is reached.
    make : callable, optional
        As for :func:`landscape.stability`.
    known : Known
    tol, seed
        As for :func:`landscape.stability`.

    Attributes
    ----------
    products : float
        Spent so far, in products with the Hessian of all data.
    """

    def __init__(
        self,
        objective: Objective,
        source: Optimizers,
        *,
        lr: float | None = None,
        batch_size: int = 0,
        num_batches: int | None = None,
        make: Make | None = None,
        known: Known = Known(),
        tol: float = 0.02,
        seed: int = 0,
    ) -> None:
        self.objective, self.source, self.make = objective, source, make
        self.batch_size, self.num_batches = batch_size, num_batches
        self.tol, self.seed, self.known, self.products = tol, seed, known, 0.0
        self.settings = Settings(source, objective.module.model, objective.layout, lr)
        self._asked, self.lr = lr, self.settings.lr
        self.theta = objective.theta
        if known.loss_and_gradient is None:
            self.products += _GRADIENT
            self.loss, self.gradient = objective.loss_and_gradient(self.theta)
        else:
            self.loss, self.gradient = known.loss_and_gradient

    @cached_property
    def H(self) -> LinearOperator:
        """The Hessian."""
        known = self.known.hessian
        return HessianOperator(self.objective, self.theta) if known is None else known

    @cached_property
    def update(self) -> OptimizerUpdate:
        """What the optimizer would do."""
        if self.known.update is not None:
            return self.known.update
        source = self.source
        if isinstance(source, Checkpoint):
            source = rebuilt(source, self.objective.module.model, self.make)
        return optimizer_update(
            self.objective, source, theta=self.theta, gradient=self.gradient, lr=self._asked, seed=self.seed
        )

    @cached_property
    def curvature(self) -> Threshold | None:
        """Of the eigenvalue that decides over stability; None for classes where none is known."""
        return curvature_threshold(self.settings)

    def record(self, step: int, measures: Sequence[str]) -> Stability:
        """A row for each of the measures that applies."""
        rows: list[tuple[str, Estimate | GeneralizedSharpness, Threshold]] = []
        absent: list[tuple[str, str]] = []
        for name in (name for name in MEASURES if name in measures):
            say(name.replace("_", " "))
            try:
                rows.append((name, *MEASURES[name](self)))
            except LandscapeError as error:
                absent.append((name, str(error)))
        return Stability(
            measures=tuple(name for name, _, _ in rows),
            values=np.array([found.value for _, found, _ in rows], dtype=float),
            errors=np.array([_error(found)[0] for _, found, _ in rows], dtype=float),
            kinds=tuple(_error(found)[1] for _, found, _ in rows),
            thresholds=np.array([rule.value for _, _, rule in rows], dtype=float),
            rules=tuple(rule.rule for _, _, rule in rows),
            converged=np.array([found.converged for _, found, _ in rows], dtype=bool),
            absent=tuple(name for name, _ in absent), reasons=tuple(why for _, why in absent),
            optimizer=", ".join(self.settings.kinds), lr=self.lr, step=step, loss=self.loss,
            batch_size=self.batch_size, seed=self.seed, products=self.products,
        )  # fmt: skip

    def lambda_max(self) -> tuple[Estimate, Threshold]:
        known = None if self.known.eigs is None else self.known.eigs.largest
        found = self._largest(self.H) if known is None else known
        if self.curvature is not None and self.curvature.measure == "lambda_max":
            return found, self.curvature
        kinds = ", ".join(self.settings.kinds)
        return found, Threshold("lambda_max", NO_THRESHOLD, f"{kinds} measures its steps in other units")

    def preconditioned(self) -> tuple[Estimate, Threshold]:
        if self.curvature is None or self.curvature.measure != "preconditioned_sharpness":
            raise UsageError(f"{', '.join(self.settings.kinds)} has no preconditioner in its state")
        return self._largest(preconditioned_operator(self.H, self.settings)), self.curvature

    def generalized(self) -> tuple[GeneralizedSharpness, Threshold]:
        norms = {NORM_OF.get(kind) for kind in self.settings.kinds} - {None}
        if len(norms) != 1:
            raise UsageError("it is that of optimizers that step in a norm of their own: signSGD, Lion, Muon")
        norm, held = str(*norms), self._not_in_norm()
        found = generalized_sharpness(
            self.objective, norm=norm, theta=self.theta, update=self.update, hold=held, hessian=self.H,
            steps=_ASCENT_STEPS, seed=self.seed, strict=False,
        )  # fmt: skip
        self.products += found.num_matvecs + _GRADIENT
        rule = "2‖g‖*/η" + (", other tensors held fixed" if held else "")
        return found, Threshold("generalized_sharpness", found.threshold(self.lr), rule)

    def _not_in_norm(self) -> tuple[str, ...]:
        """Tensors that another optimizer moves, or the AdamW that comes with Muon."""
        owners = self.settings.owners
        return tuple(
            name for name in self.objective.layout.names
            if name not in owners or owners[name].kind not in NORM_OF or owners[name].group.get("use_muon") is False
        )  # fmt: skip

    def critical(self) -> tuple[Estimate, Threshold]:
        found = critical_sharpness(self.objective, self.update, theta=self.theta, tol=self.tol, strict=False)
        self.products += found.products
        if not found.converged and not math.isfinite(found.value):
            raise UsageError(found.method)
        return found, Threshold("critical_sharpness", over(2, self.lr), "2/η")

    def batch(self) -> tuple[Estimate, Threshold]:
        if not self.batch_size:
            raise UsageError("how large the batches are is not known; pass batch_size=")
        size = min(self.batch_size, self.objective.num_examples)
        how: dict[str, Any] = {"num_batches": self.num_batches}
        if self.num_batches is None:
            most = max(_FEW_BATCHES, _PASSES * self.objective.num_examples // size)
            how = {"tol": min(5 * self.tol, 0.5), "max_batches": most}
        found = batch_sharpness(
            self.objective, batch_size=size, theta=self.theta, seed=self.seed, strict=False, **how
        )  # fmt: skip
        self.products += found.products
        return found, batch_threshold(self.settings)

    def directional(self) -> tuple[Estimate, Threshold]:
        found = directional_sharpness(
            self.objective, self.update, theta=self.theta, groups=None, hessian=self.H, gradient=self.gradient
        )
        self.products += found.num_matvecs
        value = Estimate(found.value, bound=found.bound, num_matvecs=found.num_matvecs, method="uᵀHu/‖u‖²")
        return value, Threshold("directional_sharpness", found.threshold(self.lr), "2gᵀu/(η‖u‖²)")

    def _largest(self, H: LinearOperator) -> Estimate:
        pairs = top_eigenpairs(H, 1, tol=self.tol, max_matvecs=_MATVECS, seed=self.seed, strict=False)
        self.products += pairs.num_matvecs if math.isnan(pairs.products) else pairs.products
        largest = pairs.largest
        assert largest is not None
        return largest


#: Name → what measures it, in the order of the table.
MEASURES: dict[str, Callable[[Measuring], tuple[Estimate | GeneralizedSharpness, Threshold]]] = {
    "lambda_max": Measuring.lambda_max,
    "preconditioned_sharpness": Measuring.preconditioned,
    "generalized_sharpness": Measuring.generalized,
    "critical_sharpness": Measuring.critical,
    "batch_sharpness": Measuring.batch,
    "directional_sharpness": Measuring.directional,
}


def _error(found: Estimate | GeneralizedSharpness) -> tuple[float, str]:
    """The error as a number, and what it is."""
    if isinstance(found, GeneralizedSharpness):
        return math.nan, "lower bound"
    if found.bound is not None:
        return found.bound, "bound"
    return (math.nan if found.sem is None else found.sem), "standard error"
