"""Critical sharpness: how far an update could be lengthened before the loss no longer falls, from losses alone."""

from __future__ import annotations

import math

import torch

from landscape.checks import check_count, check_positive, check_share
from landscape.device import widened
from landscape.edge_of_stability.critical_step import CriticalStep, rounding_of
from landscape.edge_of_stability.direction import direction_of
from landscape.errors import NotConverged, UsageError
from landscape.objective import Objective, Vector
from landscape.results import Estimate, OptimizerUpdate

#: Losses that it takes at most, L(θ) among them.
MOST_LOSSES = 12
#: Where no learning rate is known, the first step tried is this share of ‖θ‖.
_FIRST_SHARE = 1e-2


def critical_sharpness(
    objective: Objective,
    update: OptimizerUpdate | Vector,
    *,
    theta: Vector | None = None,
    start: float | None = None,
    decay: bool = True,
    tol: float = 0.02,
    max_losses: int = MOST_LOSSES,
    strict: bool = True,
) -> Estimate:
    r"""``λ_c = 2/η_c``, with η_c the smallest η > 0 at which ``L(θ − ηu) > L(θ)``.

    Along the gradient of a quadratic it is ``gᵀHg/‖g‖²``, along any u ``uᵀHu/gᵀu``; where u is what the optimizer does,
    ``λ_c·η/2`` is the learning rate over the longest one that would still lower the loss. Of an objective on other data
    than u was made on it is the *relative* critical sharpness: how long a step for one loss may be before it raises
    the other.

    Parameters
    ----------
    objective : Objective
        Whose losses are compared; that of other data for the relative one.
    update : OptimizerUpdate, or (P,) tensor or array
        u, as :func:`optimizer_update` gives it.
    theta : (P,) tensor or array, optional
        Where; left out, the model's parameters now. It must be where the update was made.
    start : float, optional
        First guess of η_c; left out, the update's learning rate.
    decay : bool
        Whether decoupled weight decay is part of u.
    tol : float
        Width of the bracket around η_c, relative to it.
    max_losses : int
        Losses it may take, L(θ) included; at least 4.
    strict : bool
        Raise ``NotConverged`` where no bracket as narrow was found; otherwise return what there is, marked.

    Returns
    -------
    Estimate
        ``bound``: the bracket of η_c, and how far the rounding of losses may move it; ``method`` says both ends and how
        many losses were taken. Infinite where the update goes uphill from the start. Where the loss rises and falls
        again between two points that were evaluated, that stays unseen.

    Raises
    ------
    NotConverged
        With the estimate as ``.partial``, if ``strict``: the update is no way down on these data, or the losses ended.
    UsageError
        If u is zero or not finite, or of another length.

    References
    ----------
    Kalra et al. (2026), A scalable measure of loss landscape curvature for analyzing the training dynamics of LLMs,
    arXiv:2601.16979, section 2; by doubling and bisection to 1/16 they take fewer than ten losses. Kalra & Barkeshli
    (2024), arXiv:2406.09405, for the critical learning rate.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> data = torch.full((4, 1), 2.0), torch.zeros(4, 1)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, data, dtype=torch.float64)
    >>> found = critical_sharpness(objective, objective.gradient())  # L = 4θ²: its curvature is 8
    >>> abs(found.value - 8) <= found.bound <= 0.02 * 8
    True
    """
    tol, most = check_share("tol", tol), check_count("max_losses", max_losses, least=4)
    point, rate = objective.point(theta), update.lr if isinstance(update, OptimizerUpdate) else None
    u, length = direction_of(objective, update, decay=decay)
    here = objective.loss(point)
    if not math.isfinite(here):
        raise UsageError(f"the loss is {here} at θ; there is nothing to compare with")
    search = CriticalStep(
        lambda eta: objective.loss((widened(point) - eta * u).to(objective.dtype)) - here,
        rounding=rounding_of(here, objective.dtype),
        tol=tol,
        most=most - 1,
    )
    first = rate if start is None else check_positive("start", start)
    size = float(torch.linalg.vector_norm(widened(point)))
    search.search(first if first is not None else _FIRST_SHARE * max(size, 1e-3) / length)
    found = _estimate(search)
    if strict and not found.converged:
        raise NotConverged(f"critical sharpness {found}: {found.method}. strict=False takes it, marked", found)
    return found


def _estimate(search: CriticalStep) -> Estimate:
    """The value with its bracket, or what is known where there is none."""
    losses = search.losses + 1
    found, cost = search.as_sharpness("the update"), losses / 6
    if found is not None:
        said = f"2/η_c, η_c between {search.low:.6g} and {search.high:.6g}, {losses} losses"
        return Estimate(found.value, bound=found.bound, method=said, converged=search.is_narrow, products=cost)
    if search.high < math.inf:
        said = f"the loss rises along the update as soon as at η = {search.high:.3g}: it is no way down on these data"
        return Estimate(math.inf, method=f"{said}; {losses} losses", converged=False, products=cost)
    said = f"the loss still falls at η = {search.low:.3g}, the longest step tried"
    return Estimate(0.0, bound=2 / search.low, method=f"{said}; {losses} losses", converged=False, products=cost)
