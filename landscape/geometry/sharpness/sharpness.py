"""One measure of flatness at a point, by name."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from landscape.checks import check_choice, check_not_negative, check_positive, check_seed, check_share
from landscape.device import full_precision
from landscape.errors import NotConverged, UsageError
from landscape.geometry.sharpness import averages
from landscape.geometry.sharpness.definitions import MEASURES, check_batch, check_options, norm_and_radius
from landscape.geometry.sharpness.measuring import Asked, measured
from landscape.objective import Objective, Vector, logit_normalized
from landscape.progress import Progress
from landscape.results import Sharpness
from landscape.results.endings import Ending
from landscape.rounding import format_measured


@full_precision()
def sharpness(
    objective: Objective,
    *,
    measure: str = "lambda_max",
    rho: float | None = None,
    p: float | None = None,
    m: int | None = None,
    normalize_logits: bool = False,
    restarts: int | None = None,
    num_probes: int | None = None,
    steps: int | None = None,
    layer: str | None = None,
    labels: str | None = None,
    margin: float | None = None,
    epsilon: float | None = None,
    tol: float | None = None,
    atol: float = 0.0,
    max_losses: float | None = None,
    seed: int = 0,
    theta: Vector | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> Sharpness:
    r"""One measure of flatness at θ, over the whole data set as one batch; :func:`landscape.measures` lists them.

    With c = 1 plain, c = ``|θ|`` adaptive; where ``c_i = 0``, ``δ_i = 0``:

    .. math::
        \text{worst} = \max_{\|\delta \odot c^{-1}\|_p \le \rho} L(\theta + \delta) - L(\theta), \qquad
        \text{average} = \mathbb{E}_{\delta \sim N(0,\, \rho^2 \mathrm{diag}(c^2))}\, L(\theta + \delta) - L(\theta),

        \text{keskar} = 100 \max_{|\delta_i| \le \varepsilon (|\theta_i| + 1)}
        \frac{L(\theta + \delta) - L(\theta)}{1 + L(\theta)} ,

        \text{relative flatness} = \sum_{s, s'} \langle w_s, w_{s'} \rangle \operatorname{tr} H_{s, s'}, \qquad
        \text{fisher\_rao} = \theta^\top F \theta,

        \text{flatness radius} = \max\,\{\sigma : \mathbb{E}_{\delta \sim N(0,\, \sigma^2 \mathrm{diag}(c^2))}\,
        L(\theta + \delta) - L(\theta) \le \text{margin}\},

    with w_s the rows of one layer's weights and H_{s, s'} the Hessian between two of them. ``"llc"`` is the local
    learning coefficient, with more to set in :func:`landscape.learning_coefficient`.

    The adaptive forms, relative flatness, the Fisher-Rao norm and the radius in magnitudes are invariant to rescaling
    of layers: a ReLU network rescaled into an equal one has the same. The others are not. Of cross-entropy all of them
    follow the scale of the logits: multiplying the last layer by 3 leaves every prediction, and at a minimum took λ_max
    to a thousandth, the adaptive average to a sixth and the adaptive worst case to twice what it was
    (``tests/geometry/test_logit_scale.py``). With ``normalize_logits`` those that are invariant to rescaling of layers
    are invariant to that too; the others are not, for the last layer itself stands in their ball or Hessian.

    Parameters
    ----------
    objective : Objective
    measure : str
        A name of :func:`landscape.measures`.
    rho : float, optional
        Radius, or standard deviation of each ``δ_i/c_i``, or Keskar's ε. Left out, a published value: worst 0.05 (Foret
        et al.), adaptive_worst 0.5 (Kwon et al., on CIFAR-10), with p = inf 0.001 for both; average 0.05,
        adaptive_average 0.1 (grids of Andriushchenko et al. for CIFAR-10); keskar 1e-3 (beside it they have 5e-4).
        Compare networks at the same value only.
    p : 2 or inf, optional
        Norm of the ball, for the worst case; left out, 2. Keskar's is a box and has no other.
    m : int, optional
        Of worst cases and averages: the mean over disjoint batches of m examples, dealt out at random, of each batch's
        own (m-sharpness). Of worst cases it is larger than that of all data; of averages it is the same number.
    normalize_logits : bool
        Ask it of the loss of normalised logits (:func:`landscape.logit_normalized`).
    restarts : int, optional
        Ascents for the worst case, 4 if left out: from the direction that bends most, from the gradient, and from
        random points.
    num_probes : int, optional
        Antithetic pairs ``±δ`` of an average, 16 if left out, each fresh for every group of about 64 examples, for less
        noise at no cost; of a radius such passes at each σ, 8 if left out; probes of the trace, 32, and of relative
        flatness, 64, which is exact where its layer has no more rows times columns than that.
    steps : int, optional
        Gradients per ascent at most, 7 if left out; the best ascent has eight times as many to settle. Of 500 examples
        or more that can be drawn, with a loss of outputs, ascents walk on few, up to twice as far: a tenth of them, 128
        to 1,024. Their ends are seen by all, and the best goes on as far as all of them have a slope. Of ``"llc"``
        steps of each chain at most, 4,000.
    layer : str, optional
        Of relative flatness: name or glob of the tensors whose rows count, or ``"all"``, the sum over all that are
        matrices or kernels (a filter is a row). Left out, the last of them in θ. Rows are what makes one output:
        kernels of transposed convolutions, which are stored otherwise, are not among them.
    labels : {"model", "data"}, optional
        Of the Fisher-Rao norm, whose labels F is the mean over: the model's own (left out), with which F is the
        Gauss-Newton matrix of the loss, whatever the loss; or those of the data, the published definition.
    margin, epsilon : float, optional
        Of a radius. By how much the loss may rise on average, 0.1 if left out. What is added to the deviation of each
        parameter, ``σ²θ_i² + ε²``: 0 if left out; the published 1e-3 is not invariant to rescaling.
    tol, atol : float, optional
        Of an average, a radius, the trace and relative flatness: work until half the 95 % interval is at most
        ``max(tol·|value|, atol)``. For an average or a radius examples are then drawn in groups of about 64, each at
        displacements of its own, and the interval is for all data: the work does not grow with their number. Data that
        cannot be cut are passed over whole. ``num_probes`` is not read.
    max_losses : float, optional
        Limit with ``tol``, in losses over the whole data, or products with the Hessian; 1,000 if left out.
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
        ``error`` is the residual of λ_max (a bound), rounding where the value is exact, or the standard error over
        probes or pairs; of a radius that of the rise over its slope. The worst case and keskar are lower bounds, called
        so, with no error; ``samples`` is what each ascent reached, and ``converged`` whether no point δ' of the ball
        has ``⟨∇L, δ' − δ⟩`` above 1 % of the best. NaN in the ball or among the draws makes the value NaN. A loss that
        never rises by the margin has an infinite radius, not converged; one that rises again and again has one of the
        σ at which it passes the margin. ``num_evaluations`` counts, by default: at most 500 matvecs for λ_max, 32 for
        the trace, 64 for relative flatness, about one gradient for fisher_rao, 33 losses for an average, about 100 for
        a radius, about ``steps·(restarts + 9) + 3`` = 94 gradients for the worst case and keskar at most; with drawn
        examples, whose ``cost`` is stated in gradients over all data, often 7 and 20; with ``m``, as many.

    Raises
    ------
    NotConverged
        With the measure as ``.partial``, if ``strict``.
    ObjectiveError
        If logits are to be normalised and the loss is none of logits; for keskar, if 1 + L is not positive; for
        fisher_rao, if the objective does not say where the outputs are; for ``m``, if no batches can be made.
    UsageError
        For an unknown measure, a radius that is not positive, or an option that the measure does not have.

    Notes
    -----
    The radius was published of the share of wrong predictions, with a margin of 0.1: make an ``Objective`` of that
    loss with ``check=False``, which is all it takes, for losses alone are evaluated.

    References
    ----------
    Foret, Kleiner, Mobahi, Neyshabur (2021), SAM, ICLR, eq. 1, and section 4.1 for m. Kwon, Kim, Park, Choi (2021),
    ASAM, ICML. Andriushchenko, Croce, Müller, Hein, Flammarion (2023), ICML, for the definitions with c and normalised
    logits. Keskar, Mudigere, Nocedal, Smelyanskiy, Tang (2017), ICLR, metric 2.1 (eq. 3 and 4, A the identity), who
    climbed by ten iterations of L-BFGS-B. Petzka, Kamp, Adilova, Sminchisescu, Boley (2021), NeurIPS, definition 3; the
    sum over layers is ours. Liang, Poggio, Rakhlin, Stokes (2019), AISTATS, definition 2, of which this is the square.
    Jiang, Neyshabur, Mobahi, Krishnan, Bengio (2020), ICLR, and Dziugaite et al. (2020), NeurIPS, for the radius and
    margin. Lau et al. (2023), arXiv:2308.12108. Dinh, Pascanu, Bengio, Bengio (2017), ICML, for rescaling. Birgin,
    Martínez, Raydan (2000), SIAM J. Optim. 10, algorithm 2.1, for the ascent. Hammersley & Morton (1956), Proc. Camb.
    Phil. Soc. 52, for both δ and −δ: the odd part of the loss, the gradient's, cancels exactly.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> data = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, data, dtype=torch.float64)
    >>> result = sharpness(objective, measure="worst", rho=0.1, theta=np.zeros(2))
    >>> result.kind, round(result.value, 6)
    ('lower bound', 0.02)
    >>> result = sharpness(objective, measure="relative_flatness", theta=np.array([1.0, 2.0]))
    >>> round(result.value, 6)  # ‖w‖² tr H = 5 · 5
    25.0
    """
    check_choice("measure", measure, MEASURES)
    check_choice("p", p, (None, 2, math.inf))
    if not isinstance(normalize_logits, bool):
        raise UsageError(f"normalize_logits={normalize_logits!r} must be True or False")
    given = {"restarts": restarts, "steps": steps, "num_probes": num_probes, "layer": layer, "labels": labels}
    norm, radius = norm_and_radius(measure, p, rho)
    point = objective.point(theta)
    asked = Asked(
        measure=measure,
        objective=objective,
        theta=point,
        definition=MEASURES[measure],
        name=measure,
        rho=radius,
        p=norm,
        m=check_batch(measure, m, objective.num_examples),
        options=check_options(measure, {**given, "margin": margin, "epsilon": epsilon}),
        goal=goal_of(measure, tol, atol, max_losses),
        seed=check_seed(seed),
        progress=progress,
    )
    if normalize_logits:
        asked = replace(asked, objective=logit_normalized(objective), name=f"{measure} of normalised logits")
    found = measured(asked)
    if strict and not found.converged:
        raise NotConverged(
            f"{asked.name} {format_measured(found.value, found.error)}: {_why(measure, found)}. strict=False takes it, "
            "marked; the exception carries it as .partial",
            found,
        )
    return found


def goal_of(measure: str, tol: float | None, atol: float, max_losses: float | None) -> averages.Goal | None:
    """What a measure is to reach; None where it is not asked for an accuracy."""
    atol = check_not_negative("atol", atol)
    if tol is None and atol == 0:
        if max_losses is not None:
            raise UsageError("max_losses= limits tol=; without tol the work of an average is num_probes")
        return None
    if not MEASURES[measure].takes_tol:
        takers = ", ".join(name for name, one in MEASURES.items() if one.takes_tol)
        raise UsageError(f"measure={measure!r} does not use tol={tol!r} and atol={atol!r}; these do: {takers}")
    share = 0.0 if tol is None else check_share("tol", tol, hint="it is half the 95 % interval relative to the value")
    most = averages.MAX_LOSSES if max_losses is None else check_positive("max_losses", max_losses)
    return averages.Goal(share, atol, most)


def _why(measure: str, found: Sharpness) -> str:
    if measure == "lambda_max":
        ending = Ending.OUT_OF_MATVECS.text(max_matvecs=found.num_evaluations)
        return f"{ending}, both of top_eigenpairs(HessianOperator(objective), 1)"
    if measure == "llc":
        return found.method
    if measure.startswith("flatness_radius") and not 0 < found.value < math.inf:
        return (Ending.NO_RADIUS if found.value > 0 else Ending.NO_MARGIN).text()
    if math.isnan(found.value) or not np.isfinite(found.samples).all():
        return Ending.UNDEFINED.text()
    if measure in ("trace", "relative_flatness"):
        return Ending.INTERVAL_TOO_WIDE.text(max_matvecs=found.num_evaluations, tol="tol")
    if found.kind == "estimate":
        return Ending.AVERAGE_TOO_WIDE.text(max_losses=found.num_evaluations)
    return Ending.NO_MAXIMUM.text(evaluations=found.num_evaluations)
