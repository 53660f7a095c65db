"""All measures of stability that apply to an optimizer at a point, each beside its threshold."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.checks import check_count, check_positive, check_seed, check_share
from landscape.edge_of_stability.batches import batch_sharpness
from landscape.edge_of_stability.critical import critical_sharpness
from landscape.edge_of_stability.directional import directional_sharpness
from landscape.edge_of_stability.generalized import generalized_sharpness
from landscape.edge_of_stability.preconditioned import preconditioned_operator
from landscape.edge_of_stability.rebuilding import Make, rebuilt
from landscape.edge_of_stability.settings import Settings
from landscape.edge_of_stability.thresholds import NO_THRESHOLD, Threshold, batch_threshold, curvature_threshold, over
from landscape.edge_of_stability.updates import optimizer_update
from landscape.errors import LandscapeError, UsageError
from landscape.estimators import top_eigenpairs
from landscape.objective import Objective
from landscape.operators import HessianOperator, LinearOperator
from landscape.problems import Problem
from landscape.progress import say
from landscape.results import Eigenpairs, Estimate, GeneralizedSharpness, OptimizerUpdate, Stability

#: class of an optimizer → the norm in which it steps
NORM_OF = {"Lion": "linf", "SignSGD": "linf", "Muon": "spectral"}
#: Products of each eigenvalue, and of each ascent in a norm.
_MATVECS, _ASCENT_STEPS = 300, 25
#: Batches at most, in passes over the data, and at least.
_PASSES, _FEW_BATCHES = 8, 16


def stability(
    checkpoint: Checkpoint | str | Path | Objective,
    *,
    optimizer: Optimizer | Sequence[Optimizer] | Checkpoint | None = None,
    problem: Problem | str | None = None,
    data_dir: str | Path | None = None,
    batch_size: int | None = None,
    lr: float | None = None,
    make: Make | None = None,
    hessian: LinearOperator | None = None,
    eigs: Eigenpairs | None = None,
    tol: float = 0.02,
    seed: int = 0,
) -> Stability:
    r"""How near training is to the edge of stability, by every measure that its optimizer has.

    ============================  ===================================================================================
    measure                       threshold
    ============================  ===================================================================================
    ``lambda_max``                GD ``2/η``; momentum ``(2 + 2β)/η``; Nesterov ``(2 + 2β)/((1 + 2β)η)``, less λ of
                                  weight decay
    ``preconditioned_sharpness``  Adam, AdamW, SOAP ``(2 + 2β₁)/((1 − β₁)η)``, AdamW less ``(1 + β₁)λ/(1 − β₁)``;
                                  RMSprop, Adagrad, Shampoo ``2/η``
    ``generalized_sharpness``     signSGD, Lion, Muon: ``2‖g‖*/η`` in the dual norm; momentum is not in it
    ``critical_sharpness``        ``2/η``: beyond it this step raises the loss
    ``batch_sharpness``           SGD ``2/η``
    ``directional_sharpness``     ``2gᵀu/(η‖u‖²)``: beyond it this step raises the quadratic model
    ============================  ===================================================================================

    The first three are where a quadratic with this curvature becomes unstable while η and P stay as they are. Training
    is at the edge where a ratio is about 1.

    Parameters
    ----------
    checkpoint : Checkpoint, path of one, or Objective
        A checkpoint that holds its optimizer; or an objective at its model's parameters, with ``optimizer=``.
    optimizer : Optimizer, sequence of them, or Checkpoint, optional
        In place of what the checkpoint holds.
    problem, data_dir : optional
        As for :meth:`Checkpoint.objective`.
    batch_size : int, optional
        Of the batches; left out, that of the checkpoint's settings.
    lr : float, optional
        η in place of the optimizer's own, such as where a schedule has ended at 0.
    make : callable, optional
        ``make(parameters) -> Optimizer``, for a checkpoint of a class that is not found by its name.
    hessian : LinearOperator, optional
        H there, where it is made already.
    eigs : Eigenpairs, optional
        Of H, where its largest is known already.
    tol : float
        Relative residual of eigenvalues, width of the bracket of the critical step; five times it for batches.
    seed : int

    Returns
    -------
    Stability
        A row for each measure with its error, threshold and ratio; what does not apply is absent, with the reason. Rows
        that did not reach ``tol`` are marked.

    Raises
    ------
    UsageError
        If an objective comes without an optimizer, or no optimizer moves any of θ.
    CheckpointError
        If the checkpoint cannot be read, or holds no optimizer.

    References
    ----------
    Cohen et al. (2021), ICLR; (2022), arXiv:2207.14484. Islamov et al. (2026), arXiv:2603.05002. Kalra et al. (2026),
    arXiv:2601.16979. Andreyev & Beneventano (2024), arXiv:2412.20553. Pan & Li (2023), arXiv:2306.00204.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> found = stability(objective, optimizer=torch.optim.SGD(model.parameters(), lr=0.5), batch_size=2)
    >>> [(row.measure, round(row.ratio, 2)) for row in found]  # H = 2, half of 2/η = 4
    [('lambda_max', 0.5), ('critical_sharpness', 0.5), ('batch_sharpness', 0.5), ('directional_sharpness', 0.5)]
    """
    tol, seed = check_share("tol", tol), check_seed(seed)
    step, known_size = -1, None
    if isinstance(checkpoint, (str, Path)):
        checkpoint = load_checkpoint(checkpoint)
    if isinstance(checkpoint, Checkpoint):
        objective = checkpoint.objective(problem, data_dir=data_dir)
        step, known_size = checkpoint.step, checkpoint.config.get("batch_size")
        source = checkpoint if optimizer is None else optimizer
    elif isinstance(checkpoint, Objective):
        objective = checkpoint
        if optimizer is None:
            raise UsageError("stability of an objective is that of an optimizer on it; pass optimizer=")
        source = optimizer
    else:
        raise UsageError(f"stability takes a Checkpoint or an Objective, not a {type(checkpoint).__name__}")
    size = known_size if batch_size is None else check_count("batch_size", batch_size)
    rate = None if lr is None else check_positive("lr", lr)
    return _Measuring(objective, source, rate, size, make, (hessian, eigs), tol, seed).record(step)


class _Measuring:
    """The measures of one point, each made once and only if it applies."""

    def __init__(
        self, objective: Objective, source: Any, lr: float | None, batch_size: Any, make: Make | None,
        known: tuple[LinearOperator | None, Eigenpairs | None], tol: float, seed: int,
    ) -> None:  # fmt: skip
        self.objective, self.source, self.make = objective, source, make
        self.batch_size = batch_size if isinstance(batch_size, int) and batch_size > 0 else 0
        self.tol, self.seed, (self._hessian, self._eigs) = tol, seed, known
        self.settings = Settings(source, objective.module.model, objective.layout, lr)
        self._asked, self.lr = lr, self.settings.lr
        self.theta = objective.theta
        self.loss, self.gradient = objective.loss_and_gradient(self.theta)

    @cached_property
    def H(self) -> LinearOperator:
        """The Hessian."""
        return HessianOperator(self.objective, self.theta) if self._hessian is None else self._hessian

    @cached_property
    def update(self) -> OptimizerUpdate:
        """What the optimizer would do."""
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

    def record(self, step: int) -> Stability:
        """All rows."""
        rows: list[tuple[str, Estimate | GeneralizedSharpness, Threshold]] = []
        absent: list[tuple[str, str]] = []
        for name, measure in self.measures().items():
            say(name.replace("_", " "))
            try:
                rows.append((name, *measure()))
            except LandscapeError as error:
                absent.append((name, str(error)))
        values = [found.value for _, found, _ in rows]
        return Stability(
            measures=tuple(name for name, _, _ in rows), values=np.array(values, dtype=float),
            errors=np.array([_error(found)[0] for _, found, _ in rows], dtype=float),
            kinds=tuple(_error(found)[1] for _, found, _ in rows),
            thresholds=np.array([rule.value for _, _, rule in rows], dtype=float),
            rules=tuple(rule.rule for _, _, rule in rows),
            converged=np.array([found.converged for _, found, _ in rows], dtype=bool),
            absent=tuple(name for name, _ in absent), reasons=tuple(why for _, why in absent),
            optimizer=", ".join(self.settings.kinds), lr=self.lr, step=step, loss=self.loss,
            batch_size=self.batch_size, seed=self.seed,
        )  # fmt: skip

    def measures(self) -> dict[str, Callable[[], tuple[Any, Threshold]]]:
        """Name → what measures it, in the order of the table."""
        return {
            "lambda_max": self.lambda_max,
            "preconditioned_sharpness": self.preconditioned,
            "generalized_sharpness": self.generalized,
            "critical_sharpness": self.critical,
            "batch_sharpness": self.batch,
            "directional_sharpness": self.directional,
        }

    def lambda_max(self) -> tuple[Estimate, Threshold]:
        known = None if self._eigs is None else self._eigs.largest
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
        if not found.converged and not math.isfinite(found.value):
            raise UsageError(found.method)
        return found, Threshold("critical_sharpness", over(2, self.lr), "2/η")

    def batch(self) -> tuple[Estimate, Threshold]:
        if not self.batch_size:
            raise UsageError("how large the batches are is not known; pass batch_size=")
        size = min(self.batch_size, self.objective.num_examples)
        most = max(_FEW_BATCHES, _PASSES * self.objective.num_examples // size)
        found = batch_sharpness(
            self.objective,
            batch_size=size,
            theta=self.theta,
            tol=min(5 * self.tol, 0.5),
            max_batches=most,
            seed=self.seed,
            strict=False,
        )
        return found, batch_threshold(self.settings)

    def directional(self) -> tuple[Estimate, Threshold]:
        found = directional_sharpness(
            self.objective, self.update, theta=self.theta, groups=None, hessian=self.H, gradient=self.gradient
        )
        value = Estimate(found.value, bound=found.bound, num_matvecs=found.num_matvecs, method="uᵀHu/‖u‖²")
        return value, Threshold("directional_sharpness", found.threshold(self.lr), "2gᵀu/(η‖u‖²)")

    def _largest(self, H: LinearOperator) -> Estimate:
        pairs = top_eigenpairs(H, 1, tol=self.tol, max_matvecs=_MATVECS, seed=self.seed, strict=False)
        largest = pairs.largest
        assert largest is not None
        return largest


def _error(found: Estimate | GeneralizedSharpness) -> tuple[float, str]:
    """The error as a number, and what it is."""
    if isinstance(found, GeneralizedSharpness):
        return math.nan, "lower bound"
    if found.bound is not None:
        return found.bound, "bound"
    return (math.nan if found.sem is None else found.sem), "standard error"
