"""The trace to 1 %, from model and data."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable

import numpy as np
import torch

from benchmarks import ours, peers
from benchmarks.cases import Case
from benchmarks.harness import FASTEST_PEER, Answer, Contender, Goal, Run, Workload, calibrated
from benchmarks.reference import reference_trace

ERROR = 0.01
#: Matvecs to try for a method with a sketch, each a multiple of 6 as the methods ask.
BUDGETS = [12, 24, 36, 48, 72, 96, 144, 192, 288, 384, 576, 768]
#: Seeds over which the root mean square error of a budget is taken.
CALIBRATION_SEEDS = 8

Estimate = Callable[[Case, int], Answer]


def workloads(size: str) -> list[Workload]:
    """LeNet-5 on a third of the digits; a network of 235 parameters in the tests."""
    plain = {
        "PyHessian": ("pyhessian", _pyhessian_with),
        "curvlinops hutchinson": ("curvlinops", _curvlinops("hutchinson_trace")),
        "hessian-eigenthings hutchinson": ("hessian_eigenthings", _eigenthings("hutchinson")),
    }
    sketching = {
        "curvlinops hutch++": ("curvlinops", _curvlinops("hutchpp_trace")),
        "curvlinops xtrace": ("curvlinops", _curvlinops("xtrace")),
        "hessian-eigenthings hutch++": ("hessian_eigenthings", _eigenthings("hutch++")),
    }
    others = [
        Contender("ours, hutchinson", ours.trace("hutchinson", error=ERROR), role="ours"),
        Contender("ours, hutch++", ours.trace("hutch++", error=ERROR), role="ours"),
        Contender("PyHessian, default stop", _pyhessian_default, "pyhessian"),
        *(Contender(f"{name}, enough probes", _enough(run), package) for name, (package, run) in plain.items()),
        *(Contender(f"{name}, budget tuned", _tuned(run), package) for name, (package, run) in sketching.items()),
    ]
    case = "spectrum" if size == "tiny" else "lenet-fewer"
    return [
        Workload(
            name="trace",
            title=f"Trace to {ERROR:.0%}, {case}; from scratch",
            case=case,
            ours=Contender("ours", ours.trace("split", error=ERROR), role="ours"),
            others=tuple(others),
            judge=relative_error,
            error_name="relative error (rms over seeds)",
            tolerance=2 * ERROR,  # six seeds leave a root mean square uncertain by a third, either way
            random=True,
            goals=(
                Goal("≥ 5 × fewer matvecs than Hutchinson", "ours, hutchinson", 5, "matvecs"),
                Goal("≥ 3 × the best peer", FASTEST_PEER, 3),
                Goal("≤ 1/5 of the best peer's time", FASTEST_PEER, 5),
                Goal("≤ 1/5 of the best peer's matvecs", FASTEST_PEER, 5, "matvecs"),
            ),
            truth=reference_trace,
        )
    ]


def relative_error(case: Case, answer: Answer) -> float:
    """|estimate − truth| / |truth|."""
    truth, sem, _ = reference_trace(case)
    if sem > ERROR / 3 * abs(truth):
        raise ValueError(f"the reference trace {truth:.4g} ± {sem:.2g} is too uncertain to judge {ERROR:.0%}")
    return abs(float(answer.value) - truth) / abs(truth)


def _enough(estimate: Estimate) -> Callable[[Case], Run]:
    """As many plain probes as bring the standard error to 1 %, from the judge's spread of a single one."""

    def prepare(case: Case) -> Run:
        value, _, spread = reference_trace(case)
        probes = math.ceil((spread / (ERROR * value)) ** 2)
        # A peer refuses as many as there are parameters.
        return lambda repeat: estimate(case, min(probes, case.dim - 1))

    return prepare


def _tuned(estimate: Estimate) -> Callable[[Case], Run]:
    """The smallest budget whose root mean square error over seeds is 1 %; found untimed."""

    def prepare(case: Case) -> Run:
        def error_of(budget: int) -> float:
            errors = []
            for seed in range(2 if case.size == "tiny" else CALIBRATION_SEEDS):
                torch.manual_seed(1000 + seed)
                errors.append(relative_error(case, estimate(case, budget)))
            return float(np.sqrt(np.mean(np.square(errors))))

        fitting = [budget for budget in BUDGETS if budget < case.dim]
        budget = calibrated(fitting, error_of, ERROR)
        return lambda repeat: estimate(case, budget)

    return prepare


def _pyhessian_with(case: Case, budget: int) -> Answer:
    # No relative change is below zero, so it makes all of them.
    samples = peers.PyHessian(case).hessian.trace(maxIter=budget, tol=0.0)
    return Answer(np.mean(samples), len(samples))


def _pyhessian_default(case: Case) -> Run:
    def run(repeat: int) -> Answer:
        samples = peers.PyHessian(case).hessian.trace()
        return Answer(np.mean(samples), len(samples))

    return run


def _curvlinops(method: str) -> Estimate:
    def estimate(case: Case, budget: int) -> Answer:
        # Its methods multiply up to the whole budget at once: a thousand images times hundreds of columns.
        tool = peers.Curvlinops(case, columns=8)
        home = {"hutchinson_trace": "hutchinson", "hutchpp_trace": "meyer2020hutch", "xtrace": "epperly2024xtrace"}
        function = getattr(importlib.import_module(f"curvlinops.trace.{home[method]}"), method)
        return Answer(float(function(tool.operator, budget)), tool.matvecs)

    return estimate


def _eigenthings(method: str) -> Estimate:
    def estimate(case: Case, budget: int) -> Answer:
        package = importlib.import_module("hessian_eigenthings")
        tool = peers.Eigenthings(case)
        # Its seed=None is a generator that always starts the same.
        seed = int(torch.randint(2**31, ()))
        return Answer(package.trace(tool.operator, num_matvecs=budget, method=method, seed=seed).estimate, tool.matvecs)

    return estimate
