"""One measure of flatness at a point, by name."""

from __future__ import annotations

import math

import numpy as np

from landscape.checks import check_choice, check_not_negative, check_positive, check_seed, check_share
from landscape.errors import NotConverged, UsageError
from landscape.geometry.sharpness import averages, balls, curvature
from landscape.geometry.sharpness.definitions import DEFAULTS, MEASURES, SAMPLES, check_options, norm_and_radius
from landscape.objective import Objective, Vector, logit_normalized
from landscape.progress import Progress
from landscape.results import Sharpness
from landscape.results.endings import Ending
from landscape.rounding import format_measured


def sharpness(
    objective: Objective,
    *,
    measure: str = "lambda_max",
    rho: float | None = None,
    p: float | None = None,
    normalize_logits: bool = False,
    restarts: int | None = None,
    num_probes: int | None = None,
    steps: int | None = None,
    tol: float | None = None,
    atol: float = 0.0,
    max_losses: float | None = None,
    seed: int = 0,
    theta: Vector | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Sharpness:
    r"""One measure of flatness at θ, over the whole data set as one batch.

    With c = 1 plain, c = ``|θ|`` adaptive; where ``c_i = 0``, ``δ_i = 0``:

    .. math::
        \text{worst} = \max_{\|\delta \odot c^{-1}\|_p \le \rho} L(\theta + \delta) - L(\theta), \qquad
        \text{average} = \mathbb{E}_{\delta \sim N(0,\, \rho^2 \mathrm{diag}(c^2))}\, L(\theta + \delta) - L(\theta),

        \text{keskar} = 100 \max_{|\delta_i| \le \varepsilon (|\theta_i| + 1)}
        \frac{L(\theta + \delta) - L(\theta)}{1 + L(\theta)} .

    The adaptive forms are invariant to rescaling of layers: a ReLU network rescaled into an equal one has the same. The
    others are not. Of cross-entropy all of them follow the scale of the logits: multiplying the last layer by 3 leaves
    every prediction, and at a minimum took λ_max to a thousandth, the adaptive average to a sixth and the adaptive
    worst case to twice what it was (``tests/geometry/test_logit_scale.py``). With ``normalize_logits`` the adaptive
    forms are invariant to that too; the others are not, for the last layer itself stands in their ball or Hessian.

    Parameters
    ----------
    objective : Objective
    measure : {"lambda_max", "trace", "worst", "average", "adaptive_worst", "adaptive_average", "keskar"}
    rho : float, optional
        Radius, or standard deviation of each ``δ_i/c_i``, or Keskar's ε. Left out, a published value: worst 0.05 (Foret
        et al.), adaptive_worst 0.5 (Kwon et al., on CIFAR-10), with p = inf 0.001 for both; average 0.05,
        adaptive_average 0.1 (grids of Andriushchenko et al. for CIFAR-10); keskar 1e-3 (beside it they have 5e-4).
        Compare networks at the same value only.
    p : 2 or inf, optional
        Norm of the ball, for the worst case; left out, 2. Keskar's is a box and has no other.
    normalize_logits : bool
        Ask it of the loss of normalised logits (:func:`landscape.logit_normalized`).
    restarts : int, optional
        Ascents for the worst case, 4 if left out: from the direction that bends most, from the gradient, and from
        random points.
    num_probes : int, optional
        Antithetic pairs ``±δ`` of an average, 16 if left out, each fresh for every group of about 64 examples, for less
        noise at no cost; probes of the trace, 32 if left out.
    steps : int, optional
        Gradients per ascent at most, 7 if left out; the best ascent has eight times as many to settle. Of 500 examples
        or more that can be drawn, with a loss of outputs, ascents walk on few, up to twice as far: a tenth of them, 128
        to 1,024. Their ends are seen by all, and the best goes on as far as all of them have a slope.
    tol, atol : float, optional
        Of an average: work until half its 95 % interval is at most ``max(tol·|value|, atol)``. Examples are then drawn
        in groups of about 64, each at displacements of its own, and the interval is for all data: the work does not
        grow with their number. Data that cannot be cut are passed over whole. ``num_probes`` is not read.
    max_losses : float, optional
        Limit with ``tol``, in losses over the whole data; 1,000 if left out.
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
        ``error`` is the residual of λ_max (a bound), or the standard error over probes or pairs. The worst case and
        keskar are lower bounds, called so, with no error; ``samples`` is what each ascent reached, and ``converged``
        whether no point δ' of the ball has ``⟨∇L, δ' − δ⟩`` above 1 % of the best. NaN in the ball or among the draws
        makes the value NaN. ``num_evaluations`` counts, by default: at most 500 matvecs for λ_max, 32 for the trace, 33
        losses for an average, about ``steps·(restarts + 9) + 3`` = 94 gradients for the worst case and keskar at most;
        with drawn examples, whose ``cost`` is stated in gradients over all data, often 7 and 20.

    Raises
    ------
    NotConverged
        With the measure as ``.partial``, if ``strict``.
    ObjectiveError
        If logits are to be normalised and the loss is none of logits; for keskar, if 1 + L is not positive.
    UsageError
        For an unknown measure, a radius that is not positive, or an option that the measure does not have.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur (2021), SAM, ICLR, eq. 1. Kwon, Kim, Park, Choi (2021), ASAM, ICML.
    Andriushchenko, Croce, Müller, Hein, Flammarion (2023), ICML, for the definitions with c and normalised logits.
    Keskar, Mudigere, Nocedal, Smelyanskiy, Tang (2017), ICLR, metric 2.1 (eq. 3 and 4, A the identity), who climbed by
    ten iterations of L-BFGS-B. Dinh, Pascanu, Bengio, Bengio (2017), ICML, for rescaling. Birgin, Martínez, Raydan
    (2000), SIAM J. Optim. 10, algorithm 2.1, for the ascent. Hammersley & Morton (1956), Proc. Camb. Phil. Soc. 52, for
    both δ and −δ: the odd part of the loss, the gradient's, cancels exactly.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, data, dtype=torch.float64)
    >>> result = sharpness(objective, measure="worst", rho=0.1, theta=np.zeros(2))
    >>> result.kind, round(result.value, 6)
    ('lower bound', 0.02)
    """
    check_choice("measure", measure, MEASURES)
    check_choice("p", p, (None, 2, math.inf))
    if not isinstance(normalize_logits, bool):
        raise UsageError(f"normalize_logits={normalize_logits!r} must be True or False")
    seed = check_seed(seed)
    check_options(measure, {"restarts": restarts, "steps": steps, "num_probes": num_probes})
    goal = goal_of(measure, tol, atol, max_losses)
    norm, radius = norm_and_radius(measure, p, rho)
    definition, name = MEASURES[measure], measure
    point = objective.point(theta)
    if normalize_logits:
        objective, name = logit_normalized(objective), f"{measure} of normalised logits"
    samples, reference = num_probes or SAMPLES.get(measure, 0), definition.reference
    if not definition.rho:
        if measure == "trace":
            found = curvature.trace(
                objective, point, probes=samples, name=name, reference=reference, seed=seed, progress=progress
            )
        else:
            found = curvature.lambda_max(objective, point, name=name, reference=reference, seed=seed, progress=progress)
    else:
        scale = definition.scale(point)
        around = balls.Around(objective, point, scale, radius, norm, name, reference, definition.in_percent)
        if "restarts" in definition.options:
            starts, each = restarts or DEFAULTS["restarts"], steps or DEFAULTS["steps"]
            found = balls.worst(around, restarts=starts, steps=each, seed=seed, progress=progress)
        else:
            found = averages.average(around, passes=samples, goal=goal, seed=seed, progress=progress)
    if strict and not found.converged:
        raise NotConverged(
            f"{name} {format_measured(found.value, found.error)}: {_why(measure, found)}. strict=False takes it, "
            "marked; the exception carries it as .partial",
            found,
        )
    return found


def goal_of(measure: str, tol: float | None, atol: float, max_losses: float | None) -> averages.Goal | None:
    """What an average is to reach; None where it is not asked for an accuracy."""
    atol = check_not_negative("atol", atol)
    if tol is None and atol == 0:
        if max_losses is not None:
            raise UsageError("max_losses= limits tol=; without tol the work of an average is num_probes")
        return None
    if "average" not in measure:
        raise UsageError(f"measure={measure!r} does not use tol={tol!r} and atol={atol!r}; averages do")
    share = 0.0 if tol is None else check_share("tol", tol, hint="it is half the 95 % interval relative to the value")
    most = averages.MAX_LOSSES if max_losses is None else check_positive("max_losses", max_losses)
    return averages.Goal(share, atol, most)


def _why(measure: str, found: Sharpness) -> str:
    if measure == "lambda_max":
        ending = Ending.OUT_OF_MATVECS.text(max_matvecs=found.num_evaluations)
        return f"{ending}, both of top_eigenpairs(HessianOperator(objective), 1)"
    if math.isnan(found.value) or not np.isfinite(found.samples).all():
        return Ending.UNDEFINED.text()
    if found.kind == "estimate":
        return Ending.AVERAGE_TOO_WIDE.text(max_losses=found.num_evaluations)
    return Ending.NO_MAXIMUM.text(evaluations=found.num_evaluations)
