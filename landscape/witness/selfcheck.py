"""The installation proves itself: every part of it against a closed form, in under a minute."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.stats import wasserstein_distance
from torch import nn

from landscape import estimators, geometry
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.objective import Objective
from landscape.operators import FisherOperator, GaussNewtonOperator, HessianOperator, MatrixOperator
from landscape.results import Estimate
from landscape.store import ResultStore, load_results


@dataclass(frozen=True)
class Check:
    """A fact about this installation: it holds if ``measured`` does not exceed ``limit``."""

    fact: str
    measured: float
    limit: float

    @property
    def holds(self) -> bool:
        """Whether the fact was seen to hold; NaN does not."""
        return self.measured <= self.limit


def run_checks() -> Iterator[Check]:
    """Yield each check as it is done."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _regression, _small_network, _curvature_matrices, _known_spectrum, _two_sided, _slices, _files,
    )  # fmt: skip
    for check in checks:
        yield from check()


def _least_squares() -> tuple[Objective, torch.Tensor]:
    """(2/N) XᵀX from batches of 8 and 2: a mean of batch means would be wrong."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(10, 6, generator=generator, dtype=torch.float64)
    y = torch.randn(10, 1, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        model = nn.Linear(6, 1, bias=False).double()
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]
    return Objective(model, nn.functional.mse_loss, batches, chunk=None), 0.2 * x.T @ x


def _regression() -> Iterator[Check]:
    objective, exact = _least_squares()
    dense = HessianOperator(objective).dense()
    yield Check("Hessian of least squares on uneven batches = (2/N) XᵀX", _relative(dense, exact), 1e-14)
    v, theta = torch.ones(6, dtype=torch.float64), objective.theta
    difference = (objective.gradient(theta + 1e-3 * v) - objective.gradient(theta - 1e-3 * v)) / 2e-3
    yield Check("Hessian-vector product = central difference of gradients", _relative(difference, exact @ v), 1e-10)


def _small_network() -> Iterator[Check]:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)).double()
        data = torch.randn(13, 1, 4, 4, dtype=torch.float64), torch.randint(3, (13,))
    objective = Objective(model, nn.functional.cross_entropy, data, chunk=5)
    dense = torch.autograd.functional.hessian(
        lambda theta: nn.functional.cross_entropy(
            torch.func.functional_call(model, objective.layout.unflatten(theta), (data[0],)), data[1]
        ),
        objective.theta,
    )
    for dtype, limit in ((torch.float32, 1e-5), (torch.float64, 1e-10)):
        H = HessianOperator(objective.with_dtype(dtype))
        name = str(dtype).removeprefix("torch.")
        yield Check(f"Hessian of a small CNN in {name} = dense float64", _relative(H.dense().double(), dense), limit)
    H = HessianOperator(objective)
    eigs = estimators.top_eigenpairs(H, 5, tol=1e-8)
    error = np.abs(eigs.values - np.linalg.eigvalsh(dense)[::-1][:5])
    beyond = float((error - eigs.residuals).max() / abs(eigs.values[0]))
    yield Check("five eigenvalues lie within their residuals (excess)", max(beyond, 0.0), 1e-12)


def _curvature_matrices() -> Iterator[Check]:
    objective, exact = _least_squares()
    dense = GaussNewtonOperator(objective).dense()
    yield Check("Gauss-Newton = Hessian for a linear model", _relative(dense, exact), 1e-14)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(2)
        model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3)).double()
        data = torch.randn(9, 4, dtype=torch.float64), torch.randint(3, (9,))
    objective = Objective(model, nn.functional.cross_entropy, data, chunk=4)
    fisher, gauss_newton = FisherOperator(objective).dense(), GaussNewtonOperator(objective).dense()
    yield Check("exact Fisher of class labels = Gauss-Newton", _relative(fisher, gauss_newton), 1e-13)


def _two_sided() -> Iterator[Check]:
    generator = np.random.default_rng(1)
    spectrum = np.concatenate([[30.0, 29.0, 8.0], np.zeros(297)])
    basis = np.linalg.qr(generator.normal(size=(300, 300)))[0]
    A = MatrixOperator((basis * spectrum) @ basis.T)
    eigs = estimators.top_eigenpairs(A, 3, tol=1e-8)
    bound = eigs.upper_bound[0] if eigs.upper_bound else -np.inf
    yield Check("λ_max lies below its upper bound (excess)", max(30.0 - bound, 0.0), 0.0)
    for method in ("hutch++", "xtrace"):
        estimate = estimators.trace(A, method=method, num_probes=18)
        yield Check(f"trace of a matrix of rank 3 by {method} is exact", abs(estimate.value / 67.0 - 1), 1e-10)


def _known_spectrum() -> Iterator[Check]:
    generator = np.random.default_rng(0)
    spectrum = np.concatenate([np.linspace(5, 20, 10), generator.normal(0, 0.1, 390)])
    basis = np.linalg.qr(generator.normal(size=(400, 400)))[0]
    A = MatrixOperator((basis * spectrum) @ basis.T)
    power = estimators.top_eigenpairs(A, 1, method="power", tol=1e-6, max_matvecs=2000)
    yield Check("power iteration finds λ_max", abs(float(power.values[0]) / 20 - 1), 1e-9)
    tr = estimators.trace(A, method="hutchinson", num_probes=64)
    yield Check("trace within 4 standard errors", abs(tr.value - spectrum.sum()) / (tr.sem or 0.0), 4.0)
    measure = estimators.spectral_density(A, num_probes=16, num_steps=64)
    distance = wasserstein_distance(measure.nodes.ravel(), spectrum, u_weights=np.maximum(measure.weights.ravel(), 0))
    yield Check("spectral density: Wasserstein-1 from the spectrum ÷ range", distance / np.ptp(spectrum), 6e-3)


def _slices() -> Iterator[Check]:
    objective, exact = _least_squares()
    direction = torch.ones(6, dtype=torch.float64)
    line = geometry.evaluate_line(objective, direction, points=5)
    slope = float(objective.gradient() @ direction)
    parabola = line.loss[2] + slope * line.t + 0.5 * float(direction @ exact @ direction) * line.t**2
    yield Check("a slice of a quadratic is its parabola", float(np.abs(line.loss - parabola).max()), 1e-12)


def _files() -> Iterator[Check]:
    with torch.random.fork_rng(devices=[]):
        model, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    with tempfile.TemporaryDirectory() as folder:
        load_checkpoint(save_checkpoint(folder, model, step=1)).load_into(twin)
        pairs = zip(model.parameters(), twin.parameters(), strict=True)
        difference = max(float((a - b).detach().abs().max()) for a, b in pairs)
        yield Check("a checkpoint comes back bit for bit", difference, 0.0)
        with ResultStore(Path(folder) / "results.h5") as store:
            store.write("run", 1, "trace", Estimate(np.pi, sem=0.1), {"key": {}})
            store.consolidate()
        record = load_results(folder).runs[0].checkpoints[0].records["trace"]
        assert isinstance(record, Estimate)
        yield Check("a result comes back bit for bit", abs(record.value - np.pi), 0.0)


def _relative(seen: torch.Tensor, exact: torch.Tensor) -> float:
    return float((seen - exact).norm() / exact.norm())
