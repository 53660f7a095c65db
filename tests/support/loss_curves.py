"""Results in which λ_max is a known function of the training loss, at any losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from landscape.results import Eigenpairs, Estimate, PointValue
from landscape.store import ResultStore

Curve = Callable[[float], float]


def top_pair(value: float, residual: float = 0.0) -> Eigenpairs:
    """One eigenvalue, converged."""
    columns = np.empty((5, 0), np.float32)
    return Eigenpairs(
        np.array([value]), columns, np.array([residual]), np.array([True]), 9, "all residuals within tolerance",
        "largest", "lanczos", 1e-3, 0, 5,
    )  # fmt: skip


def store_curves(
    folder: Path,
    runs: Mapping[str, tuple[dict, Sequence[float], Curve]],
    *,
    residual: float = 0.0,
    trace: Curve | None = None,
) -> Path:
    """Run → its config, its losses at checkpoints 0, 10, …, and λ_max as a function of the loss."""
    with ResultStore(folder) as store:
        for name, (config, losses, curve) in runs.items():
            store.describe_run(name, {"config": config, "optimizer": config.get("optimizer")})
            for i, loss in enumerate(losses):
                store.write(name, 10 * i, "point", PointValue(loss, 0.2, 0.3), {})
                store.write(name, 10 * i, "eigenpairs", top_pair(curve(loss), residual), {})
                if trace is not None:
                    store.write(name, 10 * i, "trace", Estimate(trace(loss)), {})
    return folder


def power(c: float, p: float) -> Curve:
    """λ = c·ℓᵖ: a straight line in logarithms."""
    return lambda loss: float(c * loss**p)
