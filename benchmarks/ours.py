"""Our side: how each piece of work is asked of landscape. All options stand in this file."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

import landscape as ls
from benchmarks.cases import Case
from benchmarks.harness import Answer, Contender, Run

#: How ``HessianOperator`` is asked for, by the contender's name. The first one meets the peers.
OPERATORS: dict[str, dict[str, Any]] = {
    "ours": {"expected_matvecs": 50_000},  # what is timed is a product that is ready; set-up has a column of its own
    "ours, no hint": {},
}
#: Plain probes take thousands of matvecs to 1 %; the tolerance is to end the work, not the limit.
TRACE_LIMIT = 20_000
#: Eigenpairs asked for beside a density: as many as there are classes.
KNOWN = 10


def objective(case: Case, **options: Any) -> ls.Objective:
    """The case as an objective, on a model of its own, checked as by default."""
    return ls.Objective(case.own_model(), case.loss, case.data, **options)


def operator(case: Case, options: dict[str, Any], **objective_options: Any) -> ls.HessianOperator:
    """The Hessian of the case; of a tiny one without a hint, or compiling would be the whole of a test."""
    if case.size == "tiny":
        options = {name: value for name, value in options.items() if name != "expected_matvecs"}
    return ls.HessianOperator(objective(case, **objective_options), **options)


def products(options: dict[str, Any], columns: int, **objective_options: Any) -> Any:
    """``prepare`` of: multiply the case's test vectors, one (P,) or a block (P, K), by a Hessian that is ready."""

    def prepare(case: Case) -> Run:
        H = operator(case, options, **objective_options)
        V = case.vectors(columns)
        v = V[:, 0].contiguous() if columns == 1 else V
        return lambda repeat: Answer((H @ v).view(len(V), -1), columns, H.route)

    return prepare


def product_contenders(columns: int) -> list[Contender]:
    """Every way to ask for products, the one that meets the peers first."""
    return [Contender(name, products(options, columns), role="ours") for name, options in OPERATORS.items()]


def eigenpairs(count: int, *, tol: float = 1e-3) -> Any:
    """``prepare`` of: from model and data to ``count`` eigenpairs; nothing is made ready beforehand."""

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            H = operator(case, {"expected_matvecs": 60})
            eigs = ls.top_eigenpairs(H, count, tol=tol, seed=repeat, strict=False)
            return Answer((eigs.values, eigs.vectors), eigs.num_matvecs, H.route)

        return run

    return prepare


def trace(method: str, *, error: float) -> Any:
    """``prepare`` of: from model and data to the trace within a relative standard error.

    The tolerance is that of the 95 % interval. The split multiplies by parts of the data; matvecs are counted by share.
    """
    hint = 4 if method == "split" else 150

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            H = operator(case, {"expected_matvecs": hint})
            estimate = ls.trace(H, method=method, tol=1.96 * error, max_matvecs=TRACE_LIMIT, seed=repeat)
            cost = estimate.num_matvecs if math.isnan(estimate.products) else estimate.products
            return Answer(estimate.value, cost, H.route)

        return run

    return prepare


def density(probes: int, steps: int, *, plain: bool) -> Any:
    """``prepare`` of: from model and data to the spectral density.

    ``plain``: quadrature alone, as the peers have it. Else ``spectrum``, which takes the eigenpairs that its runs have
    found out of the quadrature, for one matvec each.
    """

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            H = operator(case, {"expected_matvecs": probes * steps})
            if plain:
                measure = ls.spectral_density(H, num_probes=probes, num_steps=steps, seed=repeat)
                return Answer((measure.nodes.ravel(), measure.weights.ravel()), measure.num_matvecs, H.route)
            found = ls.spectrum(H, k=KNOWN, num_probes=probes, num_steps=steps, seed=repeat, strict=False)
            measure = found.density
            matvecs = measure.num_matvecs + found.eigs.num_matvecs
            return Answer((measure.nodes.ravel(), measure.weights.ravel()), matvecs, H.route)

        return run

    return prepare


def two_largest_along(*, warm: bool, anew: bool = False) -> Any:
    """``prepare`` of: the two largest eigenpairs of every snapshot.

    Each Hessian is the first one's, moved, unless it is made ``anew``. ``warm``: by an ``EigenTracker``, which goes on
    from what the snapshots before have shown.
    """

    def prepare(case: Case) -> Run:
        def run(repeat: int) -> Answer:
            question = objective(case)
            thetas = [question.layout.flatten(state) for state in case.snapshots]
            hint = 10 if anew else 10 * len(thetas)
            H = ls.HessianOperator(question, thetas[0], expected_matvecs=hint)
            tracker = ls.EigenTracker(k=2, seed=repeat, strict=False) if warm else None
            found, matvecs = [], 0
            for index, theta in enumerate(thetas):
                if index:
                    H = ls.HessianOperator(question, theta, expected_matvecs=hint) if anew else H.at(theta)
                eigs = tracker.update(H) if tracker else ls.top_eigenpairs(H, 2, seed=repeat, strict=False)
                found.append((eigs.values, eigs.vectors))
                matvecs += eigs.num_matvecs
            return Answer(found, matvecs, H.route)

        return run

    return prepare


def line(points: int) -> Any:
    """``prepare`` of: the loss at ``points`` places from the first snapshot to the last, the first left out."""

    def prepare(case: Case) -> Run:
        question = objective(case)
        first, last = (question.layout.flatten(case.snapshots[i]) for i in (0, -1))

        def run(repeat: int) -> Answer:
            return Answer(ls.interpolate(question, first, last, points=points + 1, batch_statistics="fixed").loss[1:])

        return run

    return prepare


def plane(points: int, spanned: Callable[[Case], tuple[Tensor, float]], *, tol: float | None = None) -> Any:
    """``prepare`` of: the loss on a grid around the model, from model and data; ``spanned`` has directions and step."""

    def prepare(case: Case) -> Run:
        directions, step = spanned(case)

        def run(repeat: int) -> Answer:
            found = ls.evaluate_plane(
                objective(case), directions, radius=points // 2 * step, points=points, tol=tol, batch_statistics="fixed"
            )
            return Answer(found.loss.T, note=f"{found.num_evaluations} evaluations")

        return run

    return prepare
