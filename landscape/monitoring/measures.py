"""What can be measured in a training loop, each with what it remembers from one time to the next."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from torch import Tensor

from landscape.checks import check_choice
from landscape.edge_of_stability import CriticalStep, rounding_of
from landscape.errors import UsageError
from landscape.estimators import EigenTracker, trace
from landscape.objective import Objective
from landscape.operators import HessianOperator
from landscape.results import Eigenpairs, Estimate, PointValue, Record

#: Relative residual of λ_max, and the products that may be spent on it: every fifth time twelve look for what is new.
EIGEN_TOL, MOST_MATVECS = 0.05, 24
#: Sign vectors for the trace: so few that its standard error is wide, and enough that it has one.
NUM_PROBES = 6

Numbers = dict[str, float]


class Products:
    """The Hessian on the subset, made once and moved from point to point."""

    def __init__(self, objective: Objective, route: str) -> None:
        self._objective, self._route = objective, route
        self._made: HessianOperator | None = None

    def at(self, theta: Tensor) -> HessianOperator:
        """The Hessian there."""
        if self._made is None:
            return self._first(theta)
        return self._made.at(theta)

    def _first(self, theta: Tensor) -> HessianOperator:
        self._made = HessianOperator(self._objective, theta, route=self._route)
        return self._made


@dataclass
class Look:
    """One time at which the training is looked at.

    Attributes
    ----------
    step, seed : int
    theta : (P,) tensor
    point : PointValue
    gradient : (P,) tensor
    before : (P,) tensor or None
        θ before the last step, where it was kept.
    rate : float or None
        The learning rate of that step.
    found : dict
        The records so far.
    """

    objective: Objective
    products: Products
    step: int
    seed: int
    theta: Tensor
    point: PointValue
    gradient: Tensor
    before: Tensor | None = None
    rate: float | None = None
    found: dict[str, Record] = field(default_factory=dict)

    @cached_property
    def hessian(self) -> HessianOperator:
        """At θ."""
        return self.products.at(self.theta)


class Measure(ABC):
    """One measure.

    Attributes
    ----------
    name : str
    record : str
        Its name in a results file.
    products, losses : float
        About what it costs.
    """

    name: str
    record: str
    products: float = 0
    losses: float = 0

    @abstractmethod
    def measure(self, look: Look) -> Record | None:
        """The record; None where there is no such number now."""

    @abstractmethod
    def numbers(self, record: Record) -> Numbers:
        """The record as plain numbers by name."""


class LambdaMax(Measure):
    """The largest eigenvalue of the Hessian, followed from one time to the next; its error is its residual."""

    name, record, products = "lambda_max", "eigenpairs", 9

    def __init__(self, seed: int) -> None:
        self._tracker = EigenTracker(1, tol=EIGEN_TOL, max_matvecs=MOST_MATVECS, strict=False, seed=seed)

    def measure(self, look: Look) -> Record | None:
        return self._tracker.update(look.hessian)

    def numbers(self, record: Record) -> Numbers:
        largest = record.largest if isinstance(record, Eigenpairs) else None
        if largest is None or largest.bound is None:
            return {}
        return {
            "lambda_max": largest.value,
            "lambda_max_error": largest.bound,
            "lambda_max_converged": float(largest.converged),
        }


class Trace(Measure):
    """The trace of the Hessian from sign vectors of this step, λ_max taken out where it is known."""

    name, record, products = "trace", "trace", NUM_PROBES

    def measure(self, look: Look) -> Record | None:
        known = look.found.get("eigenpairs")
        # Of each step its own: what is drawn is then independent along the training, and is repeated in a second one.
        seed = look.seed + look.step
        if known is None:
            return trace(look.hessian, method="hutchinson", num_probes=NUM_PROBES, seed=seed)
        return trace(look.hessian, method="deflated", eigs=known, num_probes=NUM_PROBES, seed=seed)

    def numbers(self, record: Record) -> Numbers:
        assert isinstance(record, Estimate)
        return {"trace": record.value} | ({} if record.sem is None else {"trace_sem": record.sem})


class CriticalSharpness(Measure):
    r"""``λ_c = 2/η_c``, with η_c the smallest η > 0 at which ``L(θ − ηu) > L(θ)``.

    u is the optimizer's last step per unit of learning rate, ``(θ_before − θ_after)/lr`` with the rate of its first
    group, and θ where that step began; where no optimizer was given, u is the gradient and θ the point. On a quadratic
    with u = g it is ``gᵀHg/gᵀg``. It takes losses alone. Where the update is no way down on these examples there is
    none.

    References
    ----------
    Kalra et al. (2026), arXiv:2601.16979.
    """

    name, record, losses = "critical_sharpness", "critical_sharpness", 7

    def __init__(self) -> None:
        self._last: float | None = None

    def measure(self, look: Look) -> Record | None:
        if look.before is not None:
            if not look.rate:  # nothing is known of a step of no length
                return None
            origin, u, along = look.before, (look.before - look.theta) / look.rate, "the update"
            start_loss = look.objective.loss(origin)
        else:
            origin, u, along, start_loss = look.theta, look.gradient, "the gradient", look.point.loss
        if not float(u.norm()) > 0:
            return None
        search = CriticalStep(
            lambda eta: look.objective.loss(origin - eta * u) - start_loss,
            rounding=rounding_of(start_loss, look.objective.dtype),
        )
        if look.rate:
            search.know(look.rate, look.point.loss - start_loss)  # where the step has led
        search.search(self._last or self._guess(look, u))
        found = search.as_sharpness(along)
        self._last = None if found is None else 2 / found.value
        return found

    def _guess(self, look: Look, u: Tensor) -> float:
        if look.rate:
            return look.rate
        known = look.found.get("eigenpairs")
        if isinstance(known, Eigenpairs) and known.values[0] > 0:
            return 2 / float(known.values[0])
        return 1e-2 * max(look.point.param_norm, 1e-3) / float(u.norm())

    def numbers(self, record: Record) -> Numbers:
        assert isinstance(record, Estimate)
        assert record.bound is not None
        return {
            "critical_sharpness": record.value,
            "critical_sharpness_error": record.bound,
            "critical_step": 2 / record.value,
        }


class Own(Measure):
    """A function of the caller: ``function(objective) -> number or Estimate``."""

    losses = 10

    def __init__(self, function: Callable[[Objective], object]) -> None:
        self._function = function
        self.name = self.record = getattr(function, "__name__", type(function).__name__).strip("<>")

    def measure(self, look: Look) -> Record | None:
        given = self._function(look.objective)
        if isinstance(given, Estimate):
            return given
        return Estimate(float(given), method=self.name)  # type: ignore[arg-type]

    def numbers(self, record: Record) -> Numbers:
        assert isinstance(record, Estimate)
        error = record.error
        return {self.name: record.value} | ({} if error is None else {f"{self.name}_error": error})


NAMES = ("lambda_max", "trace", "critical_sharpness")


def make_measures(wanted: object, seed: int) -> list[Measure]:
    """The measures by name, in the order in which one can use what another has found."""
    if isinstance(wanted, str) or callable(wanted):
        wanted = (wanted,)
    named = list(wanted)  # type: ignore[call-overload]
    if not named:
        raise UsageError(f"measures=() leaves nothing to measure; there are {', '.join(NAMES)}, and functions")
    for name in named:
        if not callable(name):
            check_choice("measures", name, NAMES)
    makers: dict[str, Callable[[], Measure]] = {
        "lambda_max": lambda: LambdaMax(seed),
        "trace": Trace,
        "critical_sharpness": CriticalSharpness,
    }
    made = [makers[name]() for name in NAMES if name in named]
    return [*made, *(Own(each) for each in named if callable(each))]


def is_finite(point: PointValue) -> bool:
    """Whether there is anything to measure."""
    return math.isfinite(point.loss) and math.isfinite(point.grad_norm)
