"""How each quantity is measured at a checkpoint: functions of a context and a progress, which give a record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from landscape import distributed, estimators, geometry
from landscape.analysis.asking import Asked, asked, fields_of
from landscape.analysis.context import CheckpointContext
from landscape.errors import LandscapeError, ObjectiveError
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.problems.metrics import evaluate_split
from landscape.problems.scores import Score
from landscape.progress import Progress
from landscape.results import Eigenpairs, Estimate, Evaluation, PointValue, Record
from landscape.sampling import over_subsets

NEWTON_STEPS = 20  # Lanczos steps from the gradient
TAIL_PAIRS = 2  # λ_max and the gap need two, and they are the top space along a training
RADIUS = 1.0  # of random directions, in filter norms
EIGENVECTOR_RADIUS = 0.25  # in parameter distance; far beyond, the sharpest direction says little about the minimum


def point(context: CheckpointContext, progress: Progress) -> PointValue:
    loss, gradient = context.loss_and_gradient
    theta = context.objective.theta
    return PointValue(loss=loss, grad_norm=float(gradient.norm()), param_norm=float(theta.norm()))


def train(context: CheckpointContext, progress: Progress) -> Evaluation:
    """On the examples of the objective, which may be drawn from all."""
    return _evaluation(_scored(context, "train", "training"))


def test(context: CheckpointContext, progress: Progress) -> Evaluation:
    return _evaluation(_scored(context, "test", "test"))


def _scored(context: CheckpointContext, split: str, words: str) -> Score:
    """In the dtype and on the device of the objective, with a model of its own, since it may be cast."""
    assert context.problem is not None
    assert context.model is not None
    try:
        model = context.model().to(context.objective.device, context.objective.dtype)
        batches = context.objective.batches if split == "train" else None
        return evaluate_split(context.problem, model, split, batches)
    except LandscapeError:
        raise
    except Exception as error:  # the user's model or loss on data that nothing has tried yet
        raise ObjectiveError(
            f"the {words} data could not be evaluated ({type(error).__name__}: {error}); what training saved is shown"
        ) from error


def _evaluation(score: Score) -> Evaluation:
    classes = np.array([np.nan if x is None else x for x in score.accuracy_per_class or ()], dtype=float)
    counts = {} if score.confusion is None else {"confusion": score.confusion}
    return Evaluation(
        score.loss, score.num_examples, score.accuracy, classes, measure_names=tuple(score.measures),
        measure_values=np.array(list(score.measures.values()), dtype=float), **counts,
    )  # fmt: skip


def eigenpairs(context: CheckpointContext, progress: Progress) -> Eigenpairs:
    plan, wanted = context.plan, asked(context.plan, "eigenpairs")
    k = min(plan.eigs if context.is_last else TAIL_PAIRS, context.hessian.dim)
    how = {"tol": plan.residual, "max_matvecs": plan.max_matvecs} if wanted is None else wanted.options(context)
    # Near the guess a part of the data saves nothing.
    how |= {"negative_tol": plan.residual_of_negative, "core": "auto" if context.is_last else None}
    eigs = estimators.top_eigenpairs(
        context.hessian, k, which="both" if context.is_last else "largest", seed=plan.seed, start=context.guess,
        strict=False, progress=progress, **how,
    )  # fmt: skip
    _check_ranks_agree(eigs)
    if context.is_last or context.is_around:
        return eigs
    context.kept_pairs = eigs
    return eigs.without_vectors()


def pairs_with_vectors(context: CheckpointContext) -> Eigenpairs:
    """The eigenpairs; the vectors of an earlier checkpoint are not stored, and made again where they are not held."""
    if context.eigenpairs.vectors.shape[1]:
        return context.eigenpairs
    if context.kept_pairs is None:
        eigenpairs(context, lambda done, most: None)
    assert context.kept_pairs is not None
    return context.kept_pairs


def _check_ranks_agree(eigs: Eigenpairs) -> None:
    """Ranks hold the same bits after all the products and sums that these took, or their numbers are no one's."""
    if distributed.current() is not None:
        content = hashlib.sha256(eigs.values.tobytes())
        content.update(np.ascontiguousarray(eigs.vectors).data)
        hint = "Their processors or libraries round differently: let all of them run on machines of one kind"
        distributed.check_same(content.hexdigest(), "eigenpairs", hint)


def second_order_gain(context: CheckpointContext, progress: Progress) -> Record:
    gradient, eigs = context.loss_and_gradient[1], context.eigenpairs
    if not bool((gradient != 0).any()) or eigs.largest is None or not eigs.largest.value > 0:
        return Estimate(float("nan"), method="no gradient, or no positive curvature")
    return estimators.second_order_gain(
        context.hessian, gradient, eigs=eigs, num_steps=NEWTON_STEPS, tol=context.plan.residual, progress=progress
    )


def trace(context: CheckpointContext, progress: Progress) -> Record:
    plan, wanted = context.plan, asked(context.plan, "trace")
    how: dict[str, Any] = {"method": "deflated", "num_probes": plan.count("trace_probes")}
    if wanted is not None:
        how = wanted.options(context)
    pairs = pairs_with_vectors(context)
    return estimators.trace(context.hessian, eigs=pairs, seed=plan.seed, progress=progress, **how)


def density(context: CheckpointContext, progress: Progress) -> Record:
    plan, wanted = context.plan, asked(context.plan, "density")
    if wanted is not None:
        how = wanted.options(context)
    else:
        how = {"num_probes": plan.count("density_probes"), "num_steps": plan.count("steps")}
    return estimators.spectral_density(context.hessian, context.eigenpairs, seed=plan.seed, progress=progress, **how)


def sampling_of_lambda_max(context: CheckpointContext, progress: Progress) -> Record:
    plan, pairs = context.plan, context.eigenpairs
    start, settled = pairs.vectors[:, pairs.top[:1]], []

    def largest(part: Objective) -> float:
        H = HessianOperator(part, expected_matvecs=20)
        eigs = estimators.top_eigenpairs(
            H, 1, tol=pairs.tol, max_matvecs=plan.max_matvecs, seed=plan.seed, start=start, strict=False
        )
        settled.append(bool(eigs.converged.all()))
        return _lambda_max(eigs)

    spread = over_subsets(context.objective, largest, num_subsets=plan.subsets, full=_lambda_max(pairs), seed=plan.seed)
    return replace(spread, converged=all(settled))


def _lambda_max(eigs: Eigenpairs) -> float:
    assert eigs.largest is not None
    return eigs.largest.value


def sampling_of_trace(context: CheckpointContext, progress: Progress) -> Record:
    plan, whole = context.plan, context.found["trace"]
    assert isinstance(whole, Estimate)
    probes, wanted = plan.count("trace_probes"), asked(plan, "trace")
    how: dict[str, Any] = {"method": "hutchinson", "num_probes": probes}
    if wanted is not None:
        how = wanted.options(context)

    def total(part: Objective) -> Estimate:
        H = HessianOperator(part, expected_matvecs=probes if wanted is None else 10)
        return estimators.trace(H, seed=plan.seed, **how)

    return over_subsets(context.objective, total, num_subsets=plan.subsets, full=whole, seed=plan.seed)


def _how(context: CheckpointContext) -> dict[str, Any]:
    # Not by its options, which read a limit of products that slices do not have.
    wanted = fields_of(context.plan, "slice")["of_range"]
    return {"tol": wanted, "hessian": context.hessian, "resume": context.resume}


def line_along_eigenvector(index: int) -> Callable[[CheckpointContext, Progress], Record]:
    def measure(context: CheckpointContext, progress: Progress) -> Record:
        return geometry.evaluate_line(
            context.objective, context.eigenpairs.vectors[:, index], radius=EIGENVECTOR_RADIUS,
            points=context.plan.points, label=f"eigenvector {index + 1}", progress=progress, **_how(context),
        )  # fmt: skip

    return measure


def line_along_random(index: int) -> Callable[[CheckpointContext, Progress], Record]:
    def measure(context: CheckpointContext, progress: Progress) -> Record:
        direction = geometry.random_direction(context.objective, index=index, seed=context.plan.seed)
        return geometry.evaluate_line(
            context.objective, direction, radius=RADIUS, points=context.plan.points,
            label=f"random, filter-normalised ({index})", progress=progress, **_how(context),
        )  # fmt: skip

    return measure


def plane(context: CheckpointContext, progress: Progress) -> Record:
    objective, seed, kind = context.objective, context.plan.seed, "random, filter-normalised"
    plane = geometry.random_plane(objective, seed=seed)
    if np.linalg.matrix_rank(plane.cpu().double().numpy()) < 2:  # one weight, and a bias that is held fixed
        plane, kind = geometry.random_plane(objective, normalize="model", ignore=None, seed=seed), "random"
    return geometry.evaluate_plane(
        objective, plane, radius=RADIUS, points=context.plan.plane_points, labels=(f"{kind} (0)", f"{kind} (1)"),
        progress=progress, **_how(context),
    )  # fmt: skip


def plane_of_eigenvectors(context: CheckpointContext, progress: Progress) -> Record:
    eigs = context.eigenpairs
    both = [geometry.direction(context.objective, "top", eigs=eigs, index=index) for index in (0, 1)]
    return geometry.evaluate_plane(
        context.objective, both, radius="auto", points=context.plan.plane_points, progress=progress, **_how(context)
    )


def plane_of_path(context: CheckpointContext, progress: Progress) -> Record:
    return geometry.evaluate_paths(
        context.objective, {"run": context.path}, points=context.plan.plane_points, margin=0.35, seed=context.plan.seed,
        tol=fields_of(context.plan, "slice")["of_range"], resume=context.resume, progress=progress,
    )  # fmt: skip


def sharpness(
    measure: str, wanted: Asked | None, *, of_logits: bool
) -> Callable[[CheckpointContext, Progress], Record]:
    def run(context: CheckpointContext, progress: Progress) -> Record:
        objective, plan = context.of_normalized_logits if of_logits else context.objective, context.plan
        assert objective is not None
        if wanted is not None:
            thorough = wanted.options(context)
        else:
            option = geometry.BALLS[measure]
            thorough = {option: plan.restarts if option == "restarts" else plan.count("samples")}
        return geometry.sharpness(
            objective, measure=measure, normalize_logits=of_logits, seed=plan.seed, progress=progress, strict=False,
            **thorough,
        )  # fmt: skip

    return run


def sharpness_of(
    measure: str, *, is_random: bool = True, **options: Any
) -> Callable[[CheckpointContext, Progress], Record]:
    """A measure of sharpness that looks into no ball; one that is not random asks for no seed."""

    def run(context: CheckpointContext, progress: Progress) -> Record:
        seed: dict[str, Any] = {"seed": context.plan.seed} if is_random else {}
        return geometry.sharpness(
            context.objective, measure=measure, progress=progress, strict=False, **seed, **options
        )

    return run
