"""The measures that read the Hessian at θ alone: its largest eigenvalue and its trace."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor

from landscape.estimators import top_eigenpairs
from landscape.estimators import trace as estimate_trace
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.progress import Progress
from landscape.results import Estimate, Sharpness


def lambda_max(
    objective: Objective, theta: Tensor, *, name: str, reference: str, seed: int, progress: Progress | None
) -> Sharpness:
    """λ_max with its residual; at most 500 products."""
    H = HessianOperator(objective, theta)
    largest = top_eigenpairs(H, 1, which="largest", seed=seed, strict=False, progress=progress).largest
    assert largest is not None
    return _of_estimate(largest, np.array([largest.value]), name, reference, seed)


def trace(
    objective: Objective, theta: Tensor, *, probes: int, name: str, reference: str, seed: int, progress: Progress | None
) -> Sharpness:
    """tr H with its standard error; as many products as probes."""
    H = HessianOperator(objective, theta, expected_matvecs=probes)
    estimate = estimate_trace(H, num_probes=probes, seed=seed, progress=progress)
    return _of_estimate(estimate, estimate.samples, name, reference, seed)


def _of_estimate(estimate: Estimate, samples: np.ndarray, name: str, reference: str, seed: int) -> Sharpness:
    return Sharpness(
        measure=name,
        value=estimate.value,
        error=estimate.error,
        kind="estimate",
        rho=math.nan,
        p=math.nan,
        samples=samples,
        converged=estimate.converged,
        num_evaluations=estimate.num_matvecs,
        seed=seed,
        reference=reference,
    )
