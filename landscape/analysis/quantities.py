"""What is measured at a checkpoint: each quantity with the plan fields that concern it and its expected cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from landscape import estimators, geometry
from landscape.analysis.asking import Asked, asked, fields_of
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.analysis.plan import FINEST, Plan
from landscape.errors import LandscapeError, ObjectiveError
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.problems.metrics import evaluate_split
from landscape.problems.scores import Score
from landscape.progress import Progress
from landscape.results import Eigenpairs, Estimate, Evaluation, PointValue, Record
from landscape.sampling import over_subsets
from landscape.store.catalogue import sharpness_record

NEWTON_STEPS = 20  # Lanczos steps from the gradient
TAIL_PAIRS = 2  # λ_max and the gap need two
RADIUS = 1.0  # of random directions, in filter norms
#: Of normalised logits those are measured whose ball follows the weights: only they are free of the logits' scale.
NORMALIZED = {"normalized_worst": "adaptive_worst", "normalized_average": "adaptive_average"}
LINE_NODES, PLANE_NODES = 10, 100  # evaluations that a line and a plane usually take
SLICE_TOL = 0.01  # of the range of the loss: errors of slices are at most that, and a quarter of the accuracy
EIGENVECTOR_RADIUS = 0.25  # in parameter distance; far beyond, the sharpest direction says little about the minimum


#: Beside the upper end of the spectrum, what is measured around a training loss at which runs are compared. What needs
#: the lower end too, or costs as much as all these, is left to the last checkpoint.
_AROUND = ("trace", *(sharpness_record(name) for name in (*geometry.BALLS, *NORMALIZED) if name != "keskar"))


#: What rests on the eigenpairs.
_PAIRS = ("eigenpairs",)
#: Older evaluations have no counts of classes.
_SCORES = {"with": "confusion"}


@dataclass(frozen=True)
class Quantity:
    """A named measurement.

    Attributes
    ----------
    fields : dict
        The plan's settings that its value depends on: a stored record is reused only if they agree, and those of what
        it rests on; or if it is as accurate as ``asked``.
    cost : Cost
    measure : callable
        ``measure(context, progress) -> Record``.
    asked : Asked or None
        To which accuracy it is to be measured; None where it is exact, or a count says how thoroughly.
    rests_on : tuple of str
        Other quantities that it is made of: of those that are used, whenever they were measured.
    on_test_data : bool
        Whether it is of the test data, which are then part of the question.
    of_logits : bool
        Whether it needs a loss of logits; left out where that is another.
    of_scores : bool
        Whether it needs class scores, or measures of the problem's own; left out where there are none.
    of_examples : bool
        Whether it needs single examples; left out where batches stay as they come.
    """

    name: str
    fields: dict[str, Any]
    cost: Cost
    measure: Callable[[CheckpointContext, Progress], Record]
    asked: Asked | None = None
    rests_on: tuple[str, ...] = ()
    on_test_data: bool = False
    of_logits: bool = False
    of_scores: bool = False
    of_examples: bool = False


def quantities(plan: Plan, *, is_last: bool, is_around: bool = False) -> list[Quantity]:
    """All that is measured at a checkpoint, in the order of measuring."""
    pairs = 2 * plan.eigs if is_last else TAIL_PAIRS
    wanted, of_pairs = asked(plan, "eigenpairs"), 20 + 7 * pairs if is_last else 5 + 2 * pairs
    spectrum = {**fields_of(plan, "eigenpairs"), **_fields(plan, "seed"), "pairs": pairs, "both_ends": is_last}
    if is_around and not is_last:
        spectrum["vectors"] = True  # which the trace takes out
    first = [
        Quantity("point", {}, Cost(gradients=1), _point),
        Quantity("train", _SCORES, Cost(losses=1), _train, of_scores=True),
        Quantity("test", _SCORES, Cost(losses=1), _test, on_test_data=True),
        Quantity("eigenpairs", spectrum, Cost(matvecs=of_pairs), _eigenpairs, wanted),
        Quantity(
            "gap", {}, Cost(), lambda context, _: estimators.spectral_gap(context.eigenpairs), rests_on=("eigenpairs",)
        ),
    ]  # fmt: skip
    if not (is_last or is_around):
        return first
    rest = [*_of_the_spectrum(plan), *_of_the_data(plan), *_of_the_surface(plan), *_of_the_balls(plan)]
    return [*first, *(quantity for quantity in rest if is_last or quantity.name in _AROUND)]


def applies(quantity: Quantity, context: CheckpointContext) -> bool:
    """Whether the problem has what the quantity is of."""
    if quantity.of_logits and context.of_normalized_logits is None:
        return False
    if quantity.of_examples and context.objective.batches.joined is None:
        return False
    return not quantity.of_scores or context.has_scores


def _of_the_spectrum(plan: Plan) -> list[Quantity]:
    """Both take the eigenpairs out exactly, so that chance is left with the rest alone."""
    gain = Cost(matvecs=0.7 * NEWTON_STEPS, gradients=1)  # settled, it ends
    of_gain = {"against": "first-order steps of equal cost"}  # those against one step are measured again
    return [
        Quantity("second_order_gain", of_gain, gain, _second_order_gain, None, _PAIRS),
        _by_accuracy("trace", plan, _trace, Cost(matvecs=plan.count("trace_probes"))),
        _by_accuracy("density", plan, _density, Cost(matvecs=plan.count("density_probes") * plan.count("steps"))),
    ]


def _by_accuracy(name: str, plan: Plan, measure: Callable[..., Record], by_counts: Cost) -> Quantity:
    """To an accuracy, which it states whatever eigenpairs were taken out; else by counts, and it rests on those."""
    if (wanted := asked(plan, name)) is not None:
        return Quantity(name, {**fields_of(plan, name), **_fields(plan, "seed")}, wanted.cost(), measure, wanted)
    return Quantity(name, fields_of(plan, name), by_counts, measure, None, _PAIRS)


def _of_the_data(plan: Plan) -> list[Quantity]:
    """How far λ_max and trace depend on which examples there are."""
    if not plan.subsets:
        return []
    fields = _fields(plan, "subsets")
    on_parts = Quantity(
        "sampling_lambda_max", fields, Cost(matvecs=20), _sampling_of_lambda_max, None, _PAIRS, of_examples=True
    )
    wanted = asked(plan, "trace")
    probes, cost = {"trace_probes": plan.count("trace_probes")}, Cost(matvecs=plan.count("trace_probes"))
    if wanted is not None:
        probes, cost = fields_of(plan, "trace"), wanted.cost() * plan.subsets
    return [
        on_parts,
        Quantity("sampling_trace", fields | probes, cost, _sampling_of_trace, None, ("trace",), of_examples=True),
    ]


def _of_the_surface(plan: Plan) -> list[Quantity]:
    """Lines and planes: the network at few points, what it returns interpolated between them."""
    along, across = _fields(plan, "points", "accuracy"), _fields(plan, "plane_points", "seed", "accuracy")
    line = Cost(matvecs=2, losses=min(plan.points, LINE_NODES) + 10)
    lines = [
        Quantity(f"line_eigenvector_{i + 1}", along, line, _line_along_eigenvector(i), None, _PAIRS)
        for i in range(min(2, plan.eigs // 2))
    ]
    random = along | _fields(plan, "seed")
    lines += [Quantity(f"line_random_{i}", random, line, _line_along_random(i)) for i in range(plan.directions)]
    plane = Cost(matvecs=4, losses=min(plan.plane_points**2, PLANE_NODES) + 20)
    return [*lines, Quantity("plane", across, plane, _plane)]


def _of_the_balls(plan: Plan) -> list[Quantity]:
    """Worst cases: three of the weights, and one of normalised logits. Averages: two, and one."""
    found = []
    for name in (*geometry.BALLS, *NORMALIZED):
        measure, of_logits = NORMALIZED.get(name, name), name in NORMALIZED
        if geometry.BALLS[measure] == "restarts":
            wanted, fields = None, _fields(plan, "restarts")
            cost = Cost(gradients=(8 if measure == "keskar" else 4) * plan.restarts)
        else:
            wanted, fields = asked(plan, "average", measure=measure), fields_of(plan, "average")
            cost = Cost(losses=2 * plan.count("samples")) if wanted is None else wanted.cost()
        run = _sharpness(measure, wanted, of_logits=of_logits)
        fields |= _fields(plan, "seed")
        found.append(Quantity(sharpness_record(name), fields, cost, run, wanted, of_logits=of_logits))
    return found


def _fields(plan: Plan, *names: str) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in names}


def _point(context: CheckpointContext, progress: Progress) -> PointValue:
    theta = context.objective.theta
    loss, gradient = context.objective.loss_and_gradient(theta)
    return PointValue(loss=loss, grad_norm=float(gradient.norm()), param_norm=float(theta.norm()))


def _train(context: CheckpointContext, progress: Progress) -> Evaluation:
    """On the examples of the objective, which may be drawn from all."""
    return _evaluation(_scored(context, "train", "training"))


def _test(context: CheckpointContext, progress: Progress) -> Evaluation:
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


def _eigenpairs(context: CheckpointContext, progress: Progress) -> Eigenpairs:
    plan, wanted = context.plan, asked(context.plan, "eigenpairs")
    k = min(plan.eigs if context.is_last else TAIL_PAIRS, context.hessian.dim)
    how = {"tol": plan.residual, "max_matvecs": plan.max_matvecs} if wanted is None else wanted.options(context)
    how |= {"core": "auto" if context.is_last else None}  # near the guess a part of the data saves nothing
    eigs = estimators.top_eigenpairs(
        context.hessian, k, which="both" if context.is_last else "largest", seed=plan.seed, start=context.guess,
        strict=False, progress=progress, **how,
    )  # fmt: skip
    return eigs if context.is_last or context.is_around else eigs.without_vectors()


def _second_order_gain(context: CheckpointContext, progress: Progress) -> Record:
    gradient, eigs = context.objective.gradient(), context.eigenpairs
    if not bool((gradient != 0).any()) or eigs.largest is None or not eigs.largest.value > 0:
        return Estimate(float("nan"), method="no gradient, or no positive curvature")
    return estimators.second_order_gain(
        context.hessian, gradient, eigs=eigs, num_steps=NEWTON_STEPS, tol=context.plan.residual, progress=progress
    )


def _trace(context: CheckpointContext, progress: Progress) -> Record:
    plan, wanted = context.plan, asked(context.plan, "trace")
    how: dict[str, Any] = {"method": "deflated", "num_probes": plan.count("trace_probes")}
    if wanted is not None:
        how = wanted.options(context)
    return estimators.trace(context.hessian, eigs=context.eigenpairs, seed=plan.seed, progress=progress, **how)


def _density(context: CheckpointContext, progress: Progress) -> Record:
    plan, wanted = context.plan, asked(context.plan, "density")
    if wanted is not None:
        how = wanted.options(context)
    else:
        how = {"num_probes": plan.count("density_probes"), "num_steps": plan.count("steps")}
    return estimators.spectral_density(context.hessian, context.eigenpairs, seed=plan.seed, progress=progress, **how)


def _sampling_of_lambda_max(context: CheckpointContext, progress: Progress) -> Record:
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


def _sampling_of_trace(context: CheckpointContext, progress: Progress) -> Record:
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
    return {"tol": min(SLICE_TOL, (context.plan.accuracy or FINEST) / 4), "hessian": context.hessian}


def _line_along_eigenvector(index: int) -> Callable[[CheckpointContext, Progress], Record]:
    def measure(context: CheckpointContext, progress: Progress) -> Record:
        return geometry.evaluate_line(
            context.objective, context.eigenpairs.vectors[:, index], radius=EIGENVECTOR_RADIUS,
            points=context.plan.points, label=f"eigenvector {index + 1}", progress=progress, **_how(context),
        )  # fmt: skip

    return measure


def _line_along_random(index: int) -> Callable[[CheckpointContext, Progress], Record]:
    def measure(context: CheckpointContext, progress: Progress) -> Record:
        direction = geometry.random_direction(context.objective, index=index, seed=context.plan.seed)
        return geometry.evaluate_line(
            context.objective, direction, radius=RADIUS, points=context.plan.points,
            label=f"random, filter-normalised ({index})", progress=progress, **_how(context),
        )  # fmt: skip

    return measure


def _plane(context: CheckpointContext, progress: Progress) -> Record:
    objective, seed, kind = context.objective, context.plan.seed, "random, filter-normalised"
    plane = geometry.random_plane(objective, seed=seed)
    if np.linalg.matrix_rank(plane.cpu().double().numpy()) < 2:  # one weight, and a bias that is held fixed
        plane, kind = geometry.random_plane(objective, normalize="model", ignore=None, seed=seed), "random"
    return geometry.evaluate_plane(
        objective, plane, radius=RADIUS, points=context.plan.plane_points, labels=(f"{kind} (0)", f"{kind} (1)"),
        progress=progress, **_how(context),
    )  # fmt: skip


def _sharpness(
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
