"""What we say of an objective: measured once by the public functions, with all that is needed to hold it to account."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from landscape.estimators import spectral_density, top_eigenpairs, trace
from landscape.geometry import evaluate_line, evaluate_plane, random_plane
from landscape.objective import Objective
from landscape.operators import HessianOperator, LinearOperator
from landscape.results import Eigenpairs, Estimate, LineSlice, PlaneSlice, SpectralMeasure
from landscape.witness.plain import Plain, PlainOperator

#: Relative error of a Hessian-vector product that the README states.
STATED = {torch.float32: 1e-5, torch.float64: 1e-10}
#: What rounding may do to an eigenvalue, in units of ``resolution · ‖H‖``: as much as no residual is given below.
ROUNDINGS = 8.0
#: Relative residual asked of the eigenpairs.
TOL = 1e-3
#: Probes whose vectors are kept, so that others can multiply by them.
KEPT = 2


@dataclass(frozen=True)
class Settings:
    """How much is compared."""

    k: int = 2
    num_probes: int = 32
    density_probes: int = 4
    num_steps: int = 30
    points: int = 11
    plane_points: int = 5
    seed: int = 0


class Listening(LinearOperator):
    """Our operator, overheard: for each vector that it multiplies, ``zᵀz``, ``zᵀHz`` and ``‖Hz‖²``."""

    def __init__(self, base: LinearOperator) -> None:
        super().__init__(base.dim, dtype=base.dtype, device=base.device)
        self.base, self.num_matvecs = base, 0
        self.heard: list[tuple[float, float, float]] = []
        self.kept: list[Tensor] = []

    @property
    def resolution(self) -> float:
        """That of the operator."""
        return self.base.resolution

    def forget(self) -> None:
        """Begin anew."""
        self.heard, self.kept = [], []

    def _matvec(self, v: Tensor) -> Tensor:
        return self._matmat(v[:, None])[:, 0]

    def _matmat(self, V: Tensor) -> Tensor:
        HV = self.base @ V
        self.num_matvecs += V.shape[1]
        for z, Hz in zip(V.T.double(), HV.T.double(), strict=True):
            self.heard.append((float(z @ z), float(z @ Hz), float(Hz @ Hz)))
            if len(self.kept) < KEPT:
                self.kept.append(z.clone())
        return HV


class Ours:
    """Our side of the table."""

    def __init__(self, objective: Objective, settings: Settings) -> None:
        self.objective, self.settings = objective, settings
        self.theta, self.dim = objective.theta, objective.layout.size
        self.hessian = Listening(HessianOperator(objective))
        self.route = str(getattr(self.hessian.base, "route", ""))
        self.loss, self.gradient = objective.loss(), objective.gradient()
        self.vector = self._random_vector()
        self.product = self.hessian @ self.vector
        self.eigs: Eigenpairs = top_eigenpairs(
            self.hessian, min(settings.k, self.dim), which="both", tol=TOL, seed=settings.seed, strict=False
        )
        self.hessian.forget()
        self.trace: Estimate = trace(
            self.hessian, method="hutchinson", num_probes=settings.num_probes, seed=settings.seed
        )
        self.trace_heard, self.probes = np.array(self.hessian.heard), self.hessian.kept
        self.hessian.forget()
        self.density: SpectralMeasure = spectral_density(
            self.hessian, num_probes=settings.density_probes, num_steps=settings.num_steps, seed=settings.seed
        )
        self.density_heard = np.array(self.hessian.heard)[: settings.density_probes]
        self.hessian.forget()
        self.plane_directions = random_plane(objective, ignore=None, seed=settings.seed)
        self.direction = self.plane_directions[:, 0]
        self.line: LineSlice = evaluate_line(objective, self.direction, points=settings.points)
        self.plane: PlaneSlice = evaluate_plane(objective, self.plane_directions, points=settings.plane_points)

    @property
    def top(self) -> tuple[np.ndarray, np.ndarray]:
        """The k largest eigenvalues and their residuals, descending."""
        places = self.eigs.top[: self.settings.k]
        return self.eigs.values[places], self.eigs.residuals[places]

    @property
    def by_magnitude(self) -> tuple[np.ndarray, np.ndarray]:
        """The k largest by |λ|: they are among the k from each end."""
        order = np.argsort(-np.abs(self.eigs.values), kind="stable")[: self.settings.k]
        return self.eigs.values[order], self.eigs.residuals[order]

    @property
    def norm(self) -> float:
        """‖H‖, from below."""
        return float(np.abs(self.eigs.values).max())

    def product_error(self, v: Tensor, Hv: Tensor) -> float:
        """What we state of a product, in its norm."""
        rounding = self.hessian.resolution * self.norm * float(v.double().norm())
        return STATED[self.objective.dtype] * float(Hv.double().norm()) + rounding

    @property
    def rounding(self) -> float:
        """What rounding may do to an eigenvalue."""
        return ROUNDINGS * self.hessian.resolution * self.norm

    def loss_error(self, loss: float) -> float:
        """Rounding of a loss: of sums in its dtype, and of the model's own arithmetic, as plain torch shows it at θ."""
        return STATED[self.objective.dtype] * abs(loss) + 4 * self._loss_rounding

    @cached_property
    def plain(self) -> Plain:
        """The loss in float64 by plain torch."""
        return Plain(self.objective)

    @cached_property
    def gradient_error(self) -> float:
        """The same of the gradient, in its norm."""
        exact = self.plain.gradient()
        own = 0.0 if self._coarse is None else float((self._coarse.gradient().double() - exact).norm())
        return STATED[self.objective.dtype] * float(exact.norm()) + 4 * own

    @cached_property
    def _loss_rounding(self) -> float:
        return 0.0 if self._coarse is None else abs(self._coarse.loss() - self.plain.loss())

    @cached_property
    def _coarse(self) -> Plain | None:
        """Plain torch in the objective's own dtype, where that is not float64."""
        if self.objective.dtype == torch.float64:
            return None
        return Plain(self.objective, dtype=self.objective.dtype)

    def reweighted(self, weights: str) -> PlainOperator | None:
        """The Hessian with batches weighed otherwise; None where that makes no difference."""
        other = Plain(self.objective, weights=weights)
        asked = [self.objective.weigh(batch) for batch in self.objective.batches.cut(None)]
        same = np.allclose(other.shares, np.array(asked) / sum(asked), rtol=1e-9)
        return None if same else PlainOperator(other)

    def _random_vector(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.settings.seed)
        v = torch.randn(self.dim, generator=generator, dtype=torch.float64)
        unit: Tensor = (v / v.norm()).to(self.objective.device, self.objective.dtype)
        return unit
