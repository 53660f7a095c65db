"""What is measured at a checkpoint: each quantity with the plan fields that concern it and its expected cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from landscape import estimators, geometry
from landscape.analysis import along, measures
from landscape.analysis.asking import Asked, asked, fields_of
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.analysis.measures import NEWTON_STEPS, TAIL_PAIRS
from landscape.analysis.plan import Plan
from landscape.analysis.presets import SPREAD
from landscape.progress import Progress
from landscape.results import Record
from landscape.store.catalogue import sharpness_record

#: Of normalised logits those are measured whose ball follows the weights: only they are free of the logits' scale.
NORMALIZED = {"normalized_worst": "adaptive_worst", "normalized_average": "adaptive_average"}
#: Examples beyond which what is asked for an accuracy takes no more work, by the row of ``ASKS``: some are drawn.
DRAWN = {"trace": 2_000, "average": 1_300, "slice": 8_000}
LINE_NODES, PLANE_NODES = 8, 60  # evaluations that a line and a plane usually take


#: Beside the upper end of the spectrum, what is measured around a training loss at which runs are compared. What needs
#: the lower end too, or costs as much as all these, is left to the last checkpoint.
_AROUND = ("trace", *(sharpness_record(name) for name in (*geometry.BALLS, *NORMALIZED) if name != "keskar"))


#: The same of a checkpoint on the way.
_ON_THE_WAY = ("trace",)
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
    of_plane : bool
        Whether it needs two directions; left out for a model of one parameter.
    of_path : bool
        Whether it is of all checkpoints that are measured, which are then part of the question; left out where they do
        not span a plane, or hold buffers that it cannot draw.
    of_ends : bool
        Whether it is of the first and the last checkpoint of the run, which are then part of the question; left out
        where they are one.
    of_optimizer : bool
        Whether it needs the optimizer's state, which is then part of the question; left out where there is none.
    of_update : bool
        Whether it needs its next step; left out where none can be made of what is stored.
    of_outputs : bool
        Whether it needs the outputs before the loss, and that this bends in them; left out where it does not.
    of_matrices : bool
        Whether it needs a matrix of weights.
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
    of_plane: bool = False
    of_path: bool = False
    of_ends: bool = False
    of_optimizer: bool = False
    of_update: bool = False
    of_outputs: bool = False
    of_matrices: bool = False

    @property
    def is_picture(self) -> bool:
        """Whether it is a slice."""
        return self.asked is not None and self.asked.name == "slice"


def quantities(plan: Plan, *, is_last: bool, is_around: bool = False, num_examples: int = 0) -> list[Quantity]:
    """All that is measured at a checkpoint, in the order of measuring, with its cost on so many examples."""
    pairs = 2 * plan.eigs if is_last else TAIL_PAIRS
    wanted, of_pairs = asked(plan, "eigenpairs"), 20 + 4 * pairs if is_last else 5 + 2 * pairs
    if plan.along and not is_last:  # those of the last one are no good start far away from it
        of_pairs += 5
    spectrum = {**fields_of(plan, "eigenpairs"), **_fields(plan, "seed"), "pairs": pairs, "both_ends": is_last}
    if is_around and not is_last:
        spectrum["vectors"] = True  # which the trace takes out
    first = [
        Quantity("point", {}, Cost(gradients=1), measures.point),
        Quantity("train", _SCORES, Cost(losses=1), measures.train, of_scores=True),
        Quantity("test", _SCORES, Cost(losses=1), measures.test, on_test_data=True),
        Quantity("eigenpairs", spectrum, Cost(matvecs=of_pairs), measures.eigenpairs, wanted),
        Quantity(
            "gap", {}, Cost(), lambda context, _: estimators.spectral_gap(context.eigenpairs), rests_on=("eigenpairs",)
        ),
    ]  # fmt: skip
    first += _along(plan, is_last=is_last)
    rest: list[Quantity] = []
    if is_last or is_around:
        rest = [*_of_the_spectrum(plan), *_of_the_data(plan), *_of_the_surface(plan)]
        rest += [*_of_the_balls(plan), *_without_a_ball(plan)]
    elif plan.along:
        rest = _of_the_spectrum(plan)
    wanted_of_rest = {*_AROUND} if is_around else {*_ON_THE_WAY}
    found = [*first, *(quantity for quantity in rest if is_last or quantity.name in wanted_of_rest)]
    return [_on_data(quantity, num_examples) for quantity in found]


def quantities_at(context: CheckpointContext) -> list[Quantity]:
    """The same at this checkpoint, on its data."""
    count = context.objective.num_examples
    return quantities(context.plan, is_last=context.is_last, is_around=context.is_around, num_examples=count)


def _on_data(quantity: Quantity, num_examples: int) -> Quantity:
    """With the cost that it has on so many examples, of which no more are drawn than its accuracy needs."""
    most = DRAWN.get(quantity.asked.name) if quantity.asked else None
    if most is None or num_examples <= most:
        return quantity
    return replace(quantity, cost=quantity.cost * (most / num_examples))


def applies(quantity: Quantity, context: CheckpointContext) -> bool:
    """Whether the problem has what the quantity is of."""
    if quantity.of_logits and context.of_normalized_logits is None:
        return False
    if quantity.of_outputs and not context.has_bent_outputs:
        return False
    if quantity.of_matrices and all(len(shape) < 2 for shape in context.objective.layout.shapes):
        return False
    if quantity.of_examples and (context.objective.batches.joined is None or context.objective.num_examples < 2):
        return False
    if quantity.of_plane and context.objective.layout.size < 2:
        return False
    if quantity.of_path and not context.has_path:
        return False
    if quantity.of_ends and context.ends is None:
        return False
    if quantity.of_optimizer and not context.has_optimizer:
        return False
    if quantity.of_update and context.update is None:
        return False
    return not quantity.of_scores or context.has_scores


def _of_the_spectrum(plan: Plan) -> list[Quantity]:
    """Both take the eigenpairs out exactly, so that chance is left with the rest alone."""
    gain = Cost(matvecs=0.7 * NEWTON_STEPS, gradients=1)  # settled, it ends
    of_gain = {"against": "first-order steps of equal cost"}  # those against one step are measured again
    return [
        Quantity("second_order_gain", of_gain, gain, measures.second_order_gain, None, _PAIRS),
        _by_accuracy("trace", plan, measures.trace, Cost(matvecs=plan.count("trace_probes"))),
        _by_accuracy(
            "density", plan, measures.density, Cost(matvecs=plan.count("density_probes") * plan.count("steps"))
        ),
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
        "sampling_lambda_max", fields, Cost(matvecs=20), measures.sampling_of_lambda_max, None, _PAIRS, of_examples=True
    )
    wanted = asked(plan, "trace")
    probes, cost = {"trace_probes": plan.count("trace_probes")}, Cost(matvecs=plan.count("trace_probes"))
    if wanted is not None:
        probes, cost = fields_of(plan, "trace"), wanted.cost() * plan.subsets
    return [
        on_parts,
        Quantity(
            "sampling_trace", fields | probes, cost, measures.sampling_of_trace, None, ("trace",), of_examples=True
        ),
    ]


def _of_the_surface(plan: Plan) -> list[Quantity]:
    """Lines and planes: the network at few points, what it returns interpolated between them."""
    wanted, how = asked(plan, "slice"), fields_of(plan, "slice")
    line = Cost(matvecs=2, losses=min(plan.points, LINE_NODES) + 10)
    found = [
        Quantity(
            f"line_eigenvector_{i + 1}", how | _fields(plan, "points"), line, measures.line_along_eigenvector(i),
            wanted, _PAIRS,
        )
        for i in range(min(2, plan.eigs // 2))
    ]  # fmt: skip
    fields = how | _fields(plan, "points", "seed")
    for i in range(plan.directions):
        found.append(Quantity(f"line_random_{i}", fields, line, measures.line_along_random(i), wanted))
    fields = how | _fields(plan, "plane_points", "seed")
    plane = Cost(matvecs=4, losses=min(plan.plane_points**2, PLANE_NODES) + 20)
    planes = {
        "random": Quantity("plane", fields, plane, measures.plane, wanted),
        "eigen": Quantity(
            "plane_eigen",
            how | _fields(plan, "plane_points"),
            plane + Cost(losses=5),
            measures.plane_of_eigenvectors,
            wanted,
            _PAIRS,
            of_plane=True,
        ),
        "pca": Quantity(
            "plane_pca",
            fields,
            Cost(losses=min(plan.plane_points**2, PLANE_NODES) + 20 + 2 * _path_points(plan)),
            measures.plane_of_path,
            wanted,
            of_plane=True,
            of_path=True,
        ),
    }
    return [*found, *(planes[name] for name in plan.planes.split(",") if name)]


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
        run = measures.sharpness(measure, wanted, of_logits=of_logits)
        fields |= _fields(plan, "seed")
        found.append(Quantity(sharpness_record(name), fields, cost, run, wanted, of_logits=of_logits))
    return found


def _along(plan: Plan, *, is_last: bool) -> list[Quantity]:
    """At every checkpoint: how noisy a step is, how much of it goes along the sharpest directions, how near it is to
    the edge of stability, how far it has come. Not in a quick plan, which looks at the minimum alone, unless asked."""
    if plan.plan == "quick" and not plan.along:
        return []
    share, seed, of_state = {"top": TAIL_PAIRS}, _fields(plan, "seed"), {"of_optimizer": True}
    # At the last checkpoint all measures of stability; at earlier ones those that cost less than the eigenpairs or so.
    cost = Cost(matvecs=50, gradients=12, losses=12) if is_last else Cost(matvecs=7, losses=10)
    which = {} if is_last else {"along": True}
    return [
        Quantity("noise_scale", seed, Cost(gradients=1), along.noise_scale, of_examples=True),
        Quantity("gradient_share", share, Cost(), along.gradient_share, None, _PAIRS),
        Quantity("update_share", share | seed, Cost(), along.update_share, None, _PAIRS, of_update=True, **of_state),
        Quantity("stability", seed | which, cost, along.stability, None, _PAIRS, **of_state),
        *([Quantity("distances", {}, Cost(), along.distances, of_ends=True)] if plan.along else []),
    ]  # fmt: skip


def _without_a_ball(plan: Plan) -> list[Quantity]:
    """Sharpness of no ball: of the last layer, of all parameters at once, and how much noise they bear."""
    if plan.plan == "quick":
        return []
    probes, passes = plan.count("trace_probes"), max(2, plan.count("samples") // 2)
    seed, relative = _fields(plan, "seed"), sharpness_record("relative_flatness")
    by_probes = measures.sharpness_of("relative_flatness", num_probes=probes)
    by_labels = measures.sharpness_of("fisher_rao", is_random=False)
    found = [
        Quantity(relative, {"trace_probes": probes, **seed}, Cost(matvecs=probes / 2), by_probes, of_matrices=True),
        Quantity(sharpness_record("fisher_rao"), {}, Cost(gradients=1), by_labels, of_outputs=True),
    ]
    for name in ("flatness_radius", "flatness_radius_magnitude"):
        wanted, fields = asked(plan, "average", measure=name), fields_of(plan, "average")
        if wanted is None:
            cost, fields = Cost(losses=12 * passes + 12), {"passes": passes}
            run = measures.sharpness_of(name, num_probes=passes)
        else:
            cost, run = wanted.cost(), measures.sharpness(name, wanted, of_logits=False)
        found.append(Quantity(sharpness_record(name), fields | seed, cost, run, wanted))
    return found


def _path_points(plan: Plan) -> int:
    """How many checkpoints of a run are measured, about: the path has as many points."""
    return (plan.most_last or SPREAD["thorough"]) + (SPREAD[plan.plan] if plan.along else 0)


def _fields(plan: Plan, *names: str) -> dict[str, Any]:
    return {name: getattr(plan, name) for name in names}
