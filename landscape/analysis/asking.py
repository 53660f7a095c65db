"""How each random or iterative quantity is asked for an accuracy, and whether it got there: one table.

A quantity is asked for the plan's accuracy where nobody has set a count that says how thoroughly it is measured; else
it gets that count.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape.analysis.amounts import percent_text
from landscape.analysis.context import CheckpointContext
from landscape.analysis.costs import Cost
from landscape.analysis.plan import FINEST, RESIDUALS, Plan, negative_residual
from landscape.device import widened
from landscape.geometry.sharpness.definitions import MEASURES
from landscape.operators import exact_cost
from landscape.results import Eigenpairs, Estimate, LineSlice, PathSlice, PlaneSlice, Record, Sharpness, SpectralMeasure
from landscape.results.interpolated import error_of_range
from landscape.store.reading import reading_of

#: Settings that say how thoroughly, in keys of records of whatever is asked for an accuracy.
THOROUGHNESS = frozenset(
    ("accuracy", "of_range", "max_matvecs", "tol", "trace_probes", "density_probes", "steps", "samples")
)
#: Which eigenpairs were taken out beforehand: no matter to an estimate that states its error.
TAKEN_OUT = frozenset(("pairs", "both_ends", "vectors", "subsets"))


@dataclass(frozen=True)
class Ask:
    """How a quantity is asked for an accuracy.

    Attributes
    ----------
    counts : tuple of str
        Fields of the plan of which any, set, fixes how thoroughly it is measured.
    options : callable
        ``options(tolerance, absolute, most)``, the keyword arguments that ask the estimator for it: relative, absolute,
        and products at most.
    reached : callable
        ``reached(record, scale)``: its 95 % error relative to its value, or to the scale where that is larger.
    at_five : Cost
        What 5 % should cost before anything is known; elsewhere it grows like 1/accuracy², or like its logarithm where
        ``is_iterative``.
    ignores : frozenset of str
        Settings in keys of its records that need not agree.
    """

    counts: tuple[str, ...]
    options: Callable[[float, float, int], dict[str, Any]]
    reached: Callable[[Record, float], float]
    at_five: Cost
    is_iterative: bool = False
    ignores: frozenset[str] = THOROUGHNESS | TAKEN_OUT


def _of_pairs(record: Record, scale: float) -> float:
    """The largest residual, over the largest eigenvalue."""
    assert isinstance(record, Eigenpairs)
    largest = float(np.abs(record.values).max(initial=0.0))
    return float(record.residuals.max(initial=0.0)) / largest if largest else 0.0


def _of_interval(record: Record, scale: float) -> float:
    """The longer half of the 95 % interval, over the value or the scale."""
    assert isinstance(record, Estimate | Sharpness)
    reading = reading_of(record, converged=True)
    if reading.low is None or reading.high is None or not math.isfinite(reading.value):
        return math.inf
    half, size = max(reading.high - reading.value, reading.value - reading.low), max(abs(reading.value), scale)
    return 0.0 if half == 0 else half / size if size else math.inf


def _of_band(record: Record, scale: float) -> float:
    """Half of the 95 % band of the distribution, averaged over the range, over its scale."""
    assert isinstance(record, SpectralMeasure)
    return record.width / scale


def _of_range(record: Record, scale: float) -> float:
    """The stated error, of the range of the loss."""
    assert isinstance(record, LineSlice | PlaneSlice | PathSlice)
    return error_of_range(record)


#: Errors of slices, of the range of their loss, are at most this, however coarse the rest.
MOST_OF_RANGE = 0.05
#: Scale of the density, a share of all eigenvalues: in spectra of networks nearly all lie close to zero, and what the
#: rest of the range tells apart is about that share of them; or so many eigenvalues, where these are more. One probe
#: knows the distribution to some ``√P`` of them, so that to tell fewer apart would take thousands.
SHARE, EIGENVALUES = 3.75e-3, 250
#: Quantity → how it is asked: the one place where it is settled what an estimator is given. The scale where a value is
#: near zero: of eigenpairs, gap and trace, λ_max; of an average sharpness, the rise that a curvature of λ_max in one
#: direction gives to a displacement of this size.
ASKS = {
    "eigenpairs": Ask(
        ("tol",), lambda tol, _, most: {"tol": tol / RESIDUALS, "max_matvecs": most}, _of_pairs,
        Cost(matvecs=25), is_iterative=True, ignores=THOROUGHNESS,
    ),
    "trace": Ask(
        ("trace_probes",),
        lambda tol, absolute, most: {
            "tol": tol, "atol": absolute, "num_probes": min(8, most), "max_matvecs": most, "strict": False,
        }, _of_interval, Cost(matvecs=2),
    ),
    "density": Ask(
        ("density_probes", "steps"),
        lambda _, absolute, most: {"tol": absolute, "max_matvecs": most, "strict": False}, _of_band, Cost(matvecs=64),
    ),
    "average": Ask(
        ("samples",), lambda tol, absolute, most: {"tol": tol, "atol": absolute, "max_losses": 6 * most},
        _of_interval, Cost(losses=60),
    ),
    "slice": Ask(
        (), lambda tol, _, most: {"tol": tol}, _of_range, Cost(losses=60), is_iterative=True,
        ignores=frozenset(("of_range",)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """That a quantity is to be measured to the plan's accuracy.

    Attributes
    ----------
    name : str
        Its row of ``ASKS``.
    accuracy : float
    measure : str
        Which measure of sharpness, where it is one.
    """

    name: str
    accuracy: float
    measure: str = ""

    @property
    def way(self) -> Ask:
        return ASKS[self.name]

    def scale(self, context: CheckpointContext) -> float:
        """Relative to which the error counts where the value is below it; 0 where it has no other than its value."""
        if self.name == "density":
            return min(max(SHARE, EIGENVALUES / context.objective.layout.size), 1.0)
        if self.name not in ("trace", "average"):
            return 0.0
        pairs = context.found.get("eigenpairs")
        if not isinstance(pairs, Eigenpairs) or not len(pairs):
            return 0.0
        largest = float(np.abs(pairs.values).max())
        if self.name == "trace":
            return largest
        ball = MEASURES[self.measure]
        if not ball.rho:  # a radius, which is a length and never near zero
            return 0.0
        sizes = widened(ball.scale(context.objective.theta)) * next(iter(ball.rho.values()))
        return largest * float(sizes.square().mean()) / 2

    def options(self, context: CheckpointContext) -> dict[str, Any]:
        """The keyword arguments by which the estimator is asked."""
        return self.way.options(self.accuracy, self.accuracy * self.scale(context), limit(context, self.name))

    def reached(self, record: Record, context: CheckpointContext) -> float:
        """The 95 % error that a record has; NaN where it has none to tell."""
        return self.way.reached(record, self.scale(context))

    def is_met(self, record: Record, context: CheckpointContext) -> bool:
        """Whether a record is at least as accurate as asked.

        Of eigenpairs the tolerances count that they were asked for: one that was looser may have missed a neighbour.
        """
        if isinstance(record, Eigenpairs):
            near = record.tol_at(1.0) * RESIDUALS <= self.accuracy * (1 + 1e-9)
            others = record.tol_at(-1.0) <= negative_residual(self.accuracy) * (1 + 1e-9)
            return bool(record.converged.all()) and near and others
        reached = self.reached(record, context)
        if math.isnan(reached):
            return bool(getattr(record, "converged", True))
        return reached <= self.accuracy * (1 + 1e-9)

    def cost(self) -> Cost:
        """What it should cost where nothing is known."""
        if self.way.is_iterative:
            return self.way.at_five * (1 + max(math.log10(0.05 / self.accuracy), -0.7) / 3)
        return self.way.at_five * min((0.05 / self.accuracy) ** 2, 100)

    def cost_after(self, earlier: Cost, reached: float) -> Cost:
        """What it should cost where so much work has reached that error: it falls like the root of the work."""
        if self.way.is_iterative or not 0 < reached < math.inf:
            return self.cost()
        return earlier * max((reached / self.accuracy) ** 2, 0.1)

    def told(self, reached: float, cost: Cost, context: CheckpointContext) -> str:
        """Why it was not reached, and what would do: more products, or the matrix, which takes no more than that."""
        if not math.isfinite(reached):
            return f"not to {percent_text(self.accuracy)}"
        said = f"± {percent_text(reached)} where {percent_text(self.accuracy)} was asked"
        if self.way.is_iterative or reached <= self.accuracy:
            return said
        needed = self.cost_after(cost, reached).products
        if self.name != "average":
            needed = min(needed, exact_cost(context.products))
        return f"{said}; about {_round(needed)} products would do" if needed > limit(context, self.name) else said


#: An iteration that may not make so many products says nothing, and each pair takes two more.
FEWEST = 10


def limit(context: CheckpointContext, name: str) -> int:
    """Products that a quantity may take, by its row of ``ASKS``: as planned, or what there is time for."""
    most, least = context.plan.max_matvecs, FEWEST
    if name == "eigenpairs":
        least += 2 * (2 * context.plan.eigs if context.is_last else 2)
    return most if context.affordable is None else max(min(most, int(context.affordable)), min(least, most))


def asked(plan: Plan, name: str, *, measure: str = "") -> Asked | None:
    """Whether a quantity is to be measured to the plan's accuracy; None where a count says how thoroughly."""
    way = ASKS[name]
    if any(getattr(plan, field) is not None for field in way.counts):
        return None
    return Asked(name, min(plan.accuracy or FINEST, MOST_OF_RANGE) if name == "slice" else plan.accuracy, measure)


def fields_of(plan: Plan, name: str) -> dict[str, Any]:
    """The settings that its value depends on, apart from the seed: the accuracy, or the counts."""
    if name == "slice":
        wanted = asked(plan, name)
        assert wanted is not None
        return {"of_range": wanted.accuracy}
    if asked(plan, name) is not None:
        return {"accuracy": plan.accuracy, "max_matvecs": plan.max_matvecs}
    if name == "eigenpairs":
        return {"tol": plan.residual, "max_matvecs": plan.max_matvecs}
    return {field: plan.count(field) for field in ASKS[name].counts}


def _round(number: float) -> str:
    """Two digits of a number of products."""
    return f"{int(float(f'{number:.2g}')):,}"
