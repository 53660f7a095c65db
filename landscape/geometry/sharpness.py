"""How sharp a minimum is: λ_max, trace, and the worst and average loss around it, plain and adaptive."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_choice, check_count, check_positive, check_seed
from landscape.errors import NotConverged, UsageError
from landscape.estimators import top_eigenpairs, trace
from landscape.geometry.ascent import Ball, highest, most_evaluations
from landscape.geometry.directions import gaussian
from landscape.objective import Objective, Vector
from landscape.operators import HessianOperator
from landscape.progress import Progress
from landscape.results import Estimate, Sharpness
from landscape.results.endings import Ending
from landscape.rounding import format_measured

_SAM = "Foret et al. 2021, eq. 1"
_ASAM = "Kwon et al. 2021"
_MODERN = "Andriushchenko et al. 2023, S_avg"


@dataclass(frozen=True)
class _Definition:
    """What a measure takes and where it comes from; ``rho`` is the published radius by norm."""

    reference: str
    rho: dict[float, float]
    options: tuple[str, ...]
    adaptive: bool = False


MEASURES = {
    "lambda_max": _Definition("largest eigenvalue of the Hessian", {}, ()),
    "trace": _Definition("trace of the Hessian", {}, ("num_probes",)),
    "worst": _Definition(_SAM, {2: 0.05, math.inf: 0.001}, ("restarts", "steps")),
    "average": _Definition(_MODERN, {2: 0.05}, ("num_probes",)),
    "adaptive_worst": _Definition(_ASAM, {2: 0.5, math.inf: 0.001}, ("restarts", "steps"), adaptive=True),
    "adaptive_average": _Definition(_MODERN, {2: 0.1}, ("num_probes",), adaptive=True),
}
#: Those that look at the loss in a ball, and by which option they are made more thorough.
BALLS = {measure: one.options[0] for measure, one in MEASURES.items() if one.rho}
_DEFAULTS = {"restarts": 4, "steps": 7}
_SAMPLES = {"trace": 32, "average": 16, "adaptive_average": 16}


def sharpness(
    objective: Objective,
    *,
    measure: str = "lambda_max",
    rho: float | None = None,
    p: float = 2,
    restarts: int | None = None,
    num_probes: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    theta: Vector | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Sharpness:
    r"""One measure of flatness at θ, over the whole data set as one batch.

    With c = 1 plain, c = ``|θ|`` adaptive; where ``c_i = 0``, ``δ_i = 0``:

    .. math::
        \text{worst} = \max_{\|\delta \odot c^{-1}\|_p \le \rho} L(\theta + \delta) - L(\theta), \qquad
        \text{average} = \mathbb{E}_{\delta \sim N(0,\, \rho^2 \mathrm{diag}(c^2))}\, L(\theta + \delta) - L(\theta).

    The adaptive forms are unchanged when a ReLU network is rescaled into an equal one, the plain ones are not.

    Parameters
    ----------
    objective : Objective
    measure : {"lambda_max", "trace", "worst", "average", "adaptive_worst", "adaptive_average"}
    rho : float, optional
        Radius, or standard deviation of each ``δ_i/c_i``. Left out, a published value: worst 0.05 (Foret et al.),
        adaptive_worst 0.5 (Kwon et al., on CIFAR-10), with p = inf 0.001 for both; average 0.05, adaptive_average 0.1
        (grids of Andriushchenko et al. for CIFAR-10). Compare networks at the same value only.
    p : 2 or inf
        Norm of the ball, for the worst case.
    restarts : int, optional
        Ascents for the worst case, 4 if left out: from the direction that bends most, from the gradient, and from
        random points.
    num_probes : int, optional
        Antithetic pairs ``±δ`` of an average, 16 if left out; probes of the trace, 32 if left out.
    steps : int, optional
        Gradients per ascent at most, 7 if left out; the best ascent has eight times as many to settle.
    seed : int
        At least 0.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    strict : bool
        Raise ``NotConverged`` where ``converged`` is false; otherwise return it, marked.
    progress : callable, optional
        Called as ``progress(done, total)`` after each evaluation.

    Returns
    -------
    Sharpness
        ``error`` is the residual of λ_max (a bound), or the standard error over probes or pairs. The worst case is a
        lower bound, called so, with no error; ``samples`` is what each ascent reached, and ``converged`` whether no
        point δ' of the ball has ``⟨∇L, δ' − δ⟩`` above 1 % of the best. NaN in the ball or among the draws makes the
        value NaN. ``num_evaluations`` counts, by default: at most 500 matvecs for λ_max, 32 for the trace, 33 losses
        for an average, at most ``steps·(restarts + 9) + 3`` = 94 gradients for the worst case.

    Raises
    ------
    NotConverged
        With the measure as ``.partial``, if ``strict``.
    UsageError
        For an unknown measure, a radius that is not positive, or an option that the measure does not have.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur (2021), SAM, ICLR, eq. 1. Kwon, Kim, Park, Choi (2021), ASAM, ICML.
    Andriushchenko, Croce, Müller, Hein, Flammarion (2023), ICML, for the definitions with c. Dinh, Pascanu, Bengio,
    Bengio (2017), ICML, for rescaling. Birgin, Martínez, Raydan (2000), SIAM J. Optim. 10, algorithm 2.1, for the
    ascent. Hammersley & Morton (1956), Proc. Camb. Phil. Soc. 52, for both δ and −δ: the odd part of the loss, the
    gradient's, cancels exactly.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, data, dtype=torch.float64)
    >>> result = sharpness(objective, measure="worst", rho=0.1, theta=np.zeros(2))
    >>> result.kind, round(result.value, 6)
    ('lower bound', 0.02)
    """
    check_choice("measure", measure, MEASURES)
    check_choice("p", p, (2, math.inf))
    seed = check_seed(seed)
    _check_options(measure, {"restarts": restarts, "steps": steps, "num_probes": num_probes})
    definition = MEASURES[measure]
    radius = _radius(measure, rho, p)
    point = objective.point(theta)
    scale = point.abs() if definition.adaptive else torch.ones_like(point)
    samples = num_probes or _SAMPLES.get(measure, 0)
    if measure == "lambda_max":
        found = _largest_eigenvalue(objective, point, seed, progress)
    elif measure == "trace":
        found = _trace(objective, point, samples, seed, progress)
    elif "restarts" in definition.options:
        starts, each = restarts or _DEFAULTS["restarts"], steps or _DEFAULTS["steps"]
        found = _worst(
            objective, point, scale, measure, rho=radius, p=p, restarts=starts, steps=each, seed=seed, progress=progress
        )
    else:
        found = _average(objective, point, scale, measure, rho=radius, pairs=samples, seed=seed, progress=progress)
    if strict and not found.converged:
        raise NotConverged(
            f"{measure} {format_measured(found.value, found.error)}: {_why(found)}. strict=False takes it, marked; the "
            "exception carries it as .partial",
            found,
        )
    return found


def _why(found: Sharpness) -> str:
    if found.measure == "lambda_max":
        ending = Ending.OUT_OF_MATVECS.text(max_matvecs=found.num_evaluations)
        return f"{ending}, both of top_eigenpairs(HessianOperator(objective), 1)"
    if math.isnan(found.value) or not np.isfinite(found.samples).all():
        return Ending.UNDEFINED.text()
    return Ending.NO_MAXIMUM.text(evaluations=found.num_evaluations)


def _check_options(measure: str, given: dict[str, int | None]) -> None:
    allowed = MEASURES[measure].options
    for name, value in given.items():
        if value is None:
            continue
        if name not in allowed:
            has = f"it has {' and '.join(allowed)}" if allowed else "it has none of these options"
            raise UsageError(f"measure={measure!r} does not use {name}={value!r}; {has}")
        check_count(name, value)


def _radius(measure: str, rho: float | None, p: float) -> float:
    published = MEASURES[measure].rho
    if p != 2 and p not in published:
        raise UsageError(f"measure={measure!r} has no ball of norm p={p!r}; leave p out")
    if not published:
        if rho is not None:
            raise UsageError(f"measure={measure!r} has no radius; leave rho={rho!r} out")
        return math.nan
    if rho is None:
        return published[p]
    return check_positive("rho", rho)


def _largest_eigenvalue(objective: Objective, point: Tensor, seed: int, progress: Progress | None) -> Sharpness:
    H = HessianOperator(objective, point)
    largest = top_eigenpairs(H, 1, which="largest", seed=seed, strict=False, progress=progress).largest
    assert largest is not None
    return _of_hessian("lambda_max", largest, np.array([largest.value]), seed)


def _trace(objective: Objective, point: Tensor, probes: int, seed: int, progress: Progress | None) -> Sharpness:
    H = HessianOperator(objective, point, expected_matvecs=probes)
    estimate = trace(H, num_probes=probes, seed=seed, progress=progress)
    return _of_hessian("trace", estimate, estimate.samples, seed)


def _of_hessian(measure: str, estimate: Estimate, samples: np.ndarray, seed: int) -> Sharpness:
    return Sharpness(
        measure=measure,
        value=estimate.value,
        error=estimate.error,
        kind="estimate",
        rho=math.nan,
        p=math.nan,
        samples=samples,
        converged=estimate.converged,
        num_evaluations=estimate.num_matvecs,
        seed=seed,
        reference=MEASURES[measure].reference,
    )


def _worst(
    objective: Objective,
    point: Tensor,
    scale: Tensor,
    measure: str,
    *,
    rho: float,
    p: float,
    restarts: int,
    steps: int,
    seed: int,
    progress: Progress | None,
) -> Sharpness:
    tick = _Ticker(progress, total=most_evaluations(restarts, steps))
    ball = Ball(objective, point, scale, rho=rho, p=p, tick=tick)
    found = highest(ball, restarts=restarts, steps=steps, seed=seed)
    tick.end()
    return Sharpness(
        measure=measure,
        # Staying at θ is allowed too, so no ball has a worst case below zero.
        value=math.nan if ball.undefined else max(found.rise, 0.0),
        error=None,
        kind="lower bound",
        rho=rho,
        p=float(p),
        samples=np.array(found.rises),
        converged=found.settled,
        num_evaluations=ball.num_evaluations,
        seed=seed,
        reference=MEASURES[measure].reference,
    )


def _average(
    objective: Objective,
    point: Tensor,
    scale: Tensor,
    measure: str,
    *,
    rho: float,
    pairs: int,
    seed: int,
    progress: Progress | None,
) -> Sharpness:
    tick = _Ticker(progress, total=2 * pairs + 1)
    base = objective.loss(point)
    tick()
    samples = np.empty(pairs)
    for index in range(pairs):
        delta = gaussian(index, len(point), seed=seed, family="sharpness").to(point) * scale * rho
        both = []
        for moved in (point + delta, point - delta):
            both.append(objective.loss(moved))
            tick()
        samples[index] = (both[0] + both[1]) / 2 - base
    finite = bool(np.isfinite(samples).all())
    sem = float(samples.std(ddof=1) / math.sqrt(pairs)) if pairs > 1 and finite else None
    return Sharpness(
        measure=measure,
        value=float(samples.mean()),
        error=sem,
        kind="estimate",
        rho=rho,
        p=math.nan,
        samples=samples,
        converged=finite,
        num_evaluations=2 * pairs + 1,
        seed=seed,
        reference=MEASURES[measure].reference,
    )


class _Ticker:
    """Counts evaluations and reports them."""

    def __init__(self, progress: Progress | None, *, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)

    def end(self) -> None:
        """It took fewer than it might have."""
        if self._progress is not None and self._done < self._total:
            self._progress(self._done, self._done)
