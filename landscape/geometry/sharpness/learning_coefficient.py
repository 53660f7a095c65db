"""The local learning coefficient: by how much the loss rises where the tempered posterior around θ lives."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from torch import Tensor

from landscape.checks import check_count, check_not_negative, check_positive, check_seed, check_share
from landscape.errors import NotConverged, ObjectiveError, UsageError
from landscape.geometry.sharpness.balls import Ticker
from landscape.geometry.sharpness.langevin import Chain, Curvature, Walk
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import LearningCoefficient
from landscape.results.endings import Ending
from landscape.rounding import format_measured, format_value
from landscape.statistics import effective_size, split_rhat

#: Chains have mixed where R̂ is at most this, and there are so many effective draws of each (Vehtari et al. 2021).
MOST_RHAT, LEAST_DRAWS = 1.01, 100
#: Steps of each chain by default, at most, and after which of them mixing is looked at first.
STEPS, _FIRST = 4000, 250
#: Share of each chain that is left out, from its beginning.
BURN_IN = 0.3
CHAINS, LOCALIZATION = 4, 100.0
#: Steps are set to 1 over the sharpest curvature, and set again where it has become so many times that; from
#: ``εh = 4`` on they are unstable. Where a chain is lost its step is divided by the last.
_LONGEST, _UNSTABLE, _SHORTER = 2.0, 4.0, 8.0
_MOST_TRIALS = 12
#: A value so many standard errors below zero says that θ is no minimum.
_BELOW = 3.0


def learning_coefficient(
    objective: Objective,
    *,
    num_chains: int = CHAINS,
    steps: int = STEPS,
    burn_in: float = BURN_IN,
    batch_size: int | None = None,
    inverse_temperature: float | None = None,
    localization: float = LOCALIZATION,
    step_size: float | None = None,
    seed: int = 0,
    theta: Vector | None = None,
    strict: bool = True,
    progress: Progress | None = None,
) -> LearningCoefficient:
    r"""The local learning coefficient of θ, estimated by Langevin dynamics.

    .. math::
        \hat\lambda = n\beta\,\bigl(\mathrm{E}_\beta[L(w)] - L(\theta)\bigr), \qquad
        w \sim \exp\bigl(-n\beta L(w) - \tfrac{\gamma}{2}\|w - \theta\|^2\bigr)

    with L the mean loss over n examples, a negative log-likelihood for the theory to hold. At a regular minimum it is
    about half the number of parameters, at a degenerate one less: it counts the directions that matter, and knows
    valleys that no second derivative sees. A quadratic of curvatures :math:`a_i` has
    :math:`\sum_i n\beta a_i / (2 (n\beta a_i + \gamma))`, exactly, at every n.

    Parameters
    ----------
    objective : Objective
    num_chains : int
        All begin at θ.
    steps : int
        Of each chain, at most. They end sooner where, at 250 steps and each time these have doubled, R̂ is at most 1.01
        and there are 100 effective draws per chain (Vehtari et al.).
    burn_in : float
        Share of each chain that is left out, from its beginning.
    batch_size : int, optional
        Examples of a step, drawn without replacement; left out, all. The gradient of a batch is corrected by what it
        says of θ and what is known there, so that a step costs two gradients over the batch.
    inverse_temperature : float, optional
        β; left out, 1/log n.
    localization : float
        γ, per squared parameter; 100 is usual, and what was published with it can be compared at the same value only.
    step_size : float, optional
        ε; left out, ``1/(nβλ_max + γ)``, a quarter of where the sharpest direction becomes unstable, with the λ_max of
        θ, or of where the chains have come at a look at their mixing if that is more than twice as large: then they
        begin again.
    seed : int
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now.
    strict : bool
        Raise ``NotConverged`` where chains left the finite numbers, did not mix, or found θ to be no minimum; otherwise
        return what there is, marked.
    progress : callable, optional
        Called as ``progress(done, total)``, in gradients over all data.

    Returns
    -------
    LearningCoefficient
        With R̂, the effective number of draws, and the standard error from it, which is that of the chains alone: what
        ε does beyond quadratics is not in it. Costs up to ``num_chains · steps`` gradients over the data, or
        ``2·batch_size/n`` of that, and some 20 products for λ_max at θ and, at each look at mixing, where each chain
        is; chains that begin again with shorter steps cost theirs once more.

    Raises
    ------
    NotConverged
        With the record as ``.partial``, if ``strict``.
    UsageError
        For numbers outside their range; if β is to be 1/log n and there is one example.
    ObjectiveError
        If ``batch_size`` is given and no batches can be made of the data.

    References
    ----------
    Lau, Furman, Wang, Murfet, Wei (2023), arXiv:2308.12108 (AISTATS 2025), for the estimator. Watanabe (2013), A widely
    applicable Bayesian information criterion, JMLR 14, for β. Welling & Teh (2011), ICML, for the dynamics; Leimkuhler
    & Matthews (2013), Appl. Math. Res. eXpress 2013(1), for its noise; Baker, Fearnhead, Fox, Nemeth (2019), Statistics
    and Computing 29, for gradients of batches. Vehtari et al. (2021), Bayesian Analysis 16(2), for R̂ and draws.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1, bias=False)
    >>> x = torch.eye(2).repeat(50, 1) * 2
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (x, torch.zeros(100, 1)))
    >>> found = learning_coefficient(objective, localization=1.0, theta=np.zeros(2))
    >>> abs(found.value - 2 * 86.86 / (2 * 87.86)) < 4 * found.error  # nβ·4 = 86.86, twice
    True
    """
    num_chains, steps = check_count("num_chains", num_chains), check_count("steps", steps, least=8)
    burn_in, seed = check_share("burn_in", burn_in), check_seed(seed)
    localization, point = check_not_negative("localization", localization), objective.point(theta)
    n, beta = objective.num_examples, _inverse_temperature(inverse_temperature, objective.num_examples)
    size = _batch_size(objective, batch_size)
    cost = (1.0 if size == n else 2 * size / n) * num_chains * steps
    tick = Ticker(progress, total=math.ceil(cost) + 1)
    loss, gradient = objective.loss_and_gradient(point)
    tick()
    curvature = Curvature(objective, point, n * beta, localization, seed)
    epsilon = _first_step(curvature, point) if step_size is None else check_positive("step_size", step_size)
    walk = Walk(objective, point, loss, gradient, n * beta, localization, epsilon, size, tick)
    chains, done = [Chain(walk, number, seed) for number in range(num_chains)], min(_FIRST, steps)
    walk, chains = _gone(walk, chains, curvature, done, is_given=step_size is not None)
    while done < steps and not _is_over(chains, burn_in):
        done = min(2 * done, steps)
        walk, chains = _gone(walk, chains, curvature, done, is_given=step_size is not None)
    tick.end()
    stability = walk.step_size * curvature.largest([chain.place for chain in chains])
    found = _record(walk, chains, burn_in=burn_in, seed=seed, beta=beta, cost=tick.cost, stability=stability)
    if strict and not found.converged:
        raise NotConverged(
            f"learning coefficient {format_measured(found.value, found.error)}: {found.reason}. strict=False takes it, "
            "marked; the exception carries it as .partial",
            found,
        )
    return found


def _inverse_temperature(given: float | None, count: int) -> float:
    if given is not None:
        return check_positive("inverse_temperature", given)
    if count < 2:
        raise UsageError("inverse_temperature is 1/log n, and of one example that is infinite; give a number")
    return 1 / math.log(count)


def _batch_size(objective: Objective, given: int | None) -> int:
    if given is None:
        return objective.num_examples
    size = check_count("batch_size", given)
    if size < objective.num_examples and not objective.can_pick:
        raise ObjectiveError(
            f"batch_size={size}: no batches can be drawn of these data, whose examples interact or do not join to one "
            "tensor per input. Leave it out, and each step is of all data"
        )
    return min(size, objective.num_examples)


def _first_step(curvature: Curvature, theta: Tensor) -> float:
    sharpest = curvature.largest([theta])
    if not 0 < sharpest < math.inf:
        raise UsageError(
            f"the curvature of nβL + γ/2‖w − θ‖² at θ is {sharpest:g} in its sharpest direction, which sets no length "
            "of a step; give step_size=, or a localization above 0"
        )
    return 1 / sharpest


def _gone(
    walk: Walk, chains: list[Chain], curvature: Curvature, steps: int, *, is_given: bool
) -> tuple[Walk, list[Chain]]:
    """All chains up to so many steps, begun again with shorter ones where they have come to where these are too long.

    A degenerate minimum is flat at the point and steep around it, and a chain may come to the steep late.
    """
    for trial in range(1, _MOST_TRIALS + 1):
        for chain in chains:
            chain.go(steps - len(chain.rises))
        if is_given or trial == _MOST_TRIALS:
            break
        sharpest = curvature.largest([chain.place for chain in chains])
        if math.isfinite(sharpest) and walk.step_size * sharpest <= _LONGEST:
            break
        shorter = 1 / sharpest if math.isfinite(sharpest) else walk.step_size / _SHORTER
        walk = replace(walk, step_size=min(shorter, walk.step_size / 2))
        chains = [Chain(walk, chain.number, chain.seed) for chain in chains]
    return walk, chains


def _is_over(chains: list[Chain], burn_in: float) -> bool:
    return not all(chain.is_finite for chain in chains) or _mixed(*_mixing(_kept(chains, burn_in)))


def _kept(chains: list[Chain], burn_in: float) -> np.ndarray:
    """(C, K): the rises after the burn-in; of chains that ended early as many as the shortest has."""
    length = min(len(chain.rises) for chain in chains)
    rises = np.array([chain.rises[:length] for chain in chains])
    return rises[:, min(math.floor(burn_in * length), length - 1) :]


def _mixing(kept: np.ndarray) -> tuple[float, float, int]:
    """R̂, effective draws, and how many of those are wanted."""
    wanted = LEAST_DRAWS * len(kept)
    if kept.shape[1] < 8 or not np.isfinite(kept).all():
        return math.nan, math.nan, wanted
    return split_rhat(kept), effective_size(kept), wanted


def _mixed(rhat: float, draws: float, wanted: int) -> bool:
    return rhat <= MOST_RHAT and draws >= wanted


def _record(
    walk: Walk, chains: list[Chain], *, burn_in: float, seed: int, beta: float, cost: float, stability: float
) -> LearningCoefficient:
    kept = _kept(chains, burn_in)
    length = min(len(chain.rises) for chain in chains)
    rhat, draws, wanted = _mixing(kept)
    n = walk.objective.num_examples
    value = n * beta * float(kept.mean())
    error = n * beta * float(kept.std()) / math.sqrt(draws) if draws > 0 else None
    ended = [chain.number for chain in chains if not chain.is_finite]
    if ended:
        facts = {"chain": ended[0] + 1, "step": length, "step_size": format_value(walk.step_size)}
        ending, converged = Ending.CHAIN_LOST.text(**facts), False
    elif stability >= _UNSTABLE:
        facts = {"stability": format_value(stability), "step_size": format_value(walk.step_size)}
        ending, converged = Ending.STEP_TOO_LONG.text(**facts), False
    elif not _mixed(rhat, draws, wanted):
        facts = {"steps": length, "rhat": f"{rhat:.3f}", "draws": f"{draws:.0f}", "wanted": wanted}
        ending, converged = Ending.NOT_MIXED.text(**facts), False
    elif error is not None and value < -_BELOW * error:
        ending, converged = Ending.NO_MINIMUM.text(), False
    else:
        ending, converged = Ending.MIXED.text(), True
    return LearningCoefficient(
        value=value,
        error=error,
        rises=np.array([chain.rises[:length] for chain in chains]),
        num_kept=kept.shape[1],
        loss=walk.loss,
        num_examples=n,
        inverse_temperature=beta,
        localization=walk.localization,
        step_size=walk.step_size,
        stability=stability,
        batch_size=walk.batch_size,
        rhat=rhat,
        effective_size=draws,
        converged=converged,
        reason=ending,
        num_gradients=cost,
        seed=seed,
        method="Langevin dynamics, " + ("all data" if walk.is_whole else f"batches of {walk.batch_size:,}"),
    )
