"""The spectral density of a network whose whole spectrum is known, from model and data."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
from scipy.stats import wasserstein_distance

from benchmarks import ours, peers
from benchmarks.cases import Case
from benchmarks.harness import FASTEST_PEER, Answer, Contender, Goal, Run, Workload
from benchmarks.reference import reference_spectrum

#: (probes, steps) and the distance wanted, Wasserstein-1 over the range of the spectrum.
SIZES = {"tiny": (2, 10, 0.1), "small": (10, 60, 3e-3), "full": (10, 100, 3e-4)}
GRID = 10_000


def workloads(size: str) -> list[Workload]:
    """Ten probes of a hundred steps."""
    probes, steps, tolerance = SIZES[size]
    others = [
        Contender("ours, plain quadrature", ours.density(probes, steps, plain=True), role="ours"),
        Contender("PyHessian", _pyhessian(probes, steps, restored=False), "pyhessian"),
        Contender("PyHessian, torch.eig given back", _pyhessian(probes, steps, restored=True), "pyhessian"),
        Contender("curvlinops, its density", _curvlinops(probes, steps), "curvlinops"),
        Contender("curvlinops, its raw nodes", _curvlinops_nodes(probes, steps), "curvlinops"),
        Contender("hessian-eigenthings", _eigenthings(probes, steps, batches=False), "hessian_eigenthings"),
        Contender("hessian-eigenthings, batches", _eigenthings(probes, steps, batches=True), "hessian_eigenthings"),
    ]
    return [
        Workload(
            name="density",
            title=f"Spectral density, {probes} probes × {steps} steps, spectrum known; from scratch",
            case="spectrum",
            ours=Contender("ours", ours.density(probes, steps, plain=False), role="ours"),
            others=tuple(others),
            judge=distance,
            error_name="Wasserstein-1 / range",
            tolerance=tolerance,
            random=True,
            goals=(Goal("≥ 4 × the best peer within the distance", FASTEST_PEER, 4),),
            truth=reference_spectrum,
        )
    ]


def distance(case: Case, answer: Answer) -> float:
    """Wasserstein-1 between the estimate and the eigenvalues, over their range."""
    nodes, weights = answer.value
    spectrum = reference_spectrum(case)
    keep = np.isfinite(nodes) & (weights > 0)
    return float(wasserstein_distance(nodes[keep], spectrum, u_weights=weights[keep]) / np.ptp(spectrum))


def _pyhessian(probes: int, steps: int, *, restored: bool) -> Callable[[Case], Run]:
    """Its density ends in torch.eig, which torch removed in 2.0; once as it is, once with that function given back."""

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            tool = peers.PyHessian(case)
            with peers.counting_pyhessian(restore_eig=restored) as counted:
                nodes, weights = tool.hessian.density(iter=steps, n_v=probes)
            return Answer((np.ravel(nodes), np.ravel(weights)), counted.matvecs)

        return run

    return prepare


def _curvlinops(probes: int, steps: int) -> Callable[[Case], Run]:
    """Its public function: a smoothed density on a grid, here as masses at the grid points."""

    def prepare(case: Case) -> Run:
        package = importlib.import_module("curvlinops")

        def run(repeat: int) -> Answer:
            tool = peers.Curvlinops(case)
            grid, density = package.lanczos_approximate_spectrum(
                tool.operator, steps, num_repeats=probes, num_points=GRID
            )
            return Answer((grid.double().numpy(), density.double().numpy()), tool.matvecs)

        return run

    return prepare


def _curvlinops_nodes(probes: int, steps: int) -> Callable[[Case], Run]:
    """Nodes and weights before smoothing, from the function below the public one: the best that can be had from it."""

    def prepare(case: Case) -> Run:
        lanczos = importlib.import_module("curvlinops.papyan2020traces.spectrum").fast_lanczos

        def run(repeat: int) -> Answer:
            tool = peers.Curvlinops(case)
            pairs = [lanczos(tool.operator, steps) for _ in range(probes)]
            nodes = np.concatenate([values.double().numpy() for values, _ in pairs])
            weights = np.concatenate([vectors[0].double().numpy() ** 2 for _, vectors in pairs])
            return Answer((nodes, weights), tool.matvecs)

        return run

    return prepare


def _eigenthings(probes: int, steps: int, *, batches: bool) -> Callable[[Case], Run]:
    """Its result holds the raw nodes and weights beside the smoothed density."""

    def prepare(case: Case) -> Run:
        package = importlib.import_module("hessian_eigenthings")

        def run(repeat: int) -> Answer:
            tool = peers.Eigenthings(case, batches=batches)
            # Run i of it is seeded with seed + i: seeds apart, so that no two repeats share a probe.
            found = package.spectral_density(tool.operator, num_runs=probes, lanczos_steps=steps, seed=probes * repeat)
            nodes, weights = found.raw_eigenvalues.double().numpy(), found.raw_weights.double().numpy()
            return Answer((nodes.ravel(), weights.ravel()), tool.matvecs)

        return run

    return prepare
