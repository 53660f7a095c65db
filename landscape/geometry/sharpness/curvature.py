"""The measures that read derivatives at θ alone: λ_max, trace, relative flatness and the Fisher-Rao norm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from landscape.estimators import top_eigenpairs
from landscape.estimators import trace as estimate_trace
from landscape.geometry.sharpness import fisher_rao as norms
from landscape.geometry.sharpness import relative
from landscape.geometry.sharpness.averages import Goal
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.progress import Progress
from landscape.results import Estimate, Sharpness


@dataclass(frozen=True)
class AtPoint:
    """What is asked at θ (P,), under which name."""

    objective: Objective
    theta: Tensor
    name: str
    reference: str
    seed: int
    progress: Progress | None

    def lambda_max(self) -> Sharpness:
        """λ_max with its residual; at most 500 products."""
        H = HessianOperator(self.objective, self.theta)
        pairs = top_eigenpairs(H, 1, which="largest", seed=self.seed, strict=False, progress=self.progress)
        largest = pairs.largest
        assert largest is not None
        return self._of_estimate(largest, np.array([largest.value]))

    def trace(self, *, probes: int, goal: Goal | None) -> Sharpness:
        """tr H with its standard error; as many products as probes, or as the goal takes."""
        H = HessianOperator(self.objective, self.theta, expected_matvecs=probes)
        how: dict[str, Any] = {"num_probes": probes} if goal is None else goal.of_products(probes)
        found = estimate_trace(H, seed=self.seed, progress=self.progress, strict=False, **how)
        return self._of_estimate(found, found.samples, method=found.method)

    def relative_flatness(self, *, layer: str | None, probes: int, goal: Goal | None) -> Sharpness:
        """κ with its standard error; as many products as probes, or fewer."""
        found, said = relative.relative_flatness(
            self.objective, self.theta, layer=layer, probes=probes, goal=goal, seed=self.seed, progress=self.progress
        )
        return self._of_estimate(found, found.samples, method=f"{said}; {found.method}")

    def fisher_rao(self, *, labels: str) -> Sharpness:
        """θᵀFθ with its rounding; two passes forward with tangents."""
        value, rounding = norms.fisher_rao(self.objective, self.theta, labels=labels)
        if self.progress is not None:
            self.progress(1, 1)
        found = Estimate(value, bound=rounding, num_matvecs=1, method=norms.KINDS[labels])
        return self._of_estimate(found, np.empty(0), method=found.method)

    def _of_estimate(self, estimate: Estimate, samples: np.ndarray, *, method: str = "") -> Sharpness:
        is_exact = not samples.size
        return Sharpness(
            measure=self.name,
            value=estimate.value,
            error=estimate.error,
            kind="exact" if is_exact else "estimate",
            rho=math.nan,
            p=math.nan,
            samples=samples,
            converged=estimate.converged,
            num_evaluations=estimate.num_matvecs,
            seed=self.seed,
            reference=self.reference,
            cost=estimate.products,
            method=method,
        )
