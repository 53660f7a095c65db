"""A step of training held against the theory of smooth and of convex functions."""

from __future__ import annotations

import torch

from landscape.checks import check_not_negative
from landscape.device import widened
from landscape.errors import UsageError
from landscape.objective import Objective, Vector
from landscape.results.steps import StepReport

#: Rounding of a mean over examples, in units of eps times the loss.
_ROUNDING = 8.0


def examine_step(objective: Objective, before: Vector, after: Vector, *, smoothness: float | None = None) -> StepReport:
    """What the step from ``before`` to ``after`` did to the loss over all data, and what was to be expected of it.

    The step may be anyone's: of a minibatch, of momentum, of Adam. Convergence proofs rest on three inequalities, each
    of which is looked at here as it stands in this place: the descent lemma with a smoothness known before the step,
    the tangent below a convex function, and the quadratic model.

    Parameters
    ----------
    objective : Objective
    before, after : (P,) tensors or arrays
    smoothness : float, optional
        ℓ, known before the step: λ_max at ``before``, or the largest smoothness that earlier steps have met. Left out,
        the descent lemma is not judged: what this step itself has met makes it true of any step.

    Returns
    -------
    StepReport

    Raises
    ------
    UsageError
        If both are the same point, or of another length than P, or for a smoothness below 0.

    Notes
    -----
    Costs two gradients and one Hessian-vector product.

    References
    ----------
    Nesterov (2004), Introductory lectures on convex optimization, section 1.2.2, for the descent lemma.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> step = examine_step(objective, torch.ones(1), torch.full((1,), 0.5), smoothness=2.0)
    >>> step.change, step.predicted, step.smoothness, step.is_convex, step.within_descent_bound
    (-0.75, -0.75, 2.0, True, True)
    >>> examine_step(objective, torch.ones(1), torch.full((1,), 1.5), smoothness=2.0).within_descent_bound  # uphill
    False
    """
    if smoothness is not None:
        smoothness = check_not_negative("smoothness", smoothness, hint="it is the largest curvature known before")
    start, end = objective.point(before), objective.point(after)
    step = end - start
    length = float(torch.linalg.vector_norm(widened(step)))
    if length == 0:
        raise UsageError("both points are the same: there is no step to look at")
    loss, gradient = objective.loss_and_gradient(start)
    loss_after, gradient_after = objective.loss_and_gradient(end)
    bend = widened(gradient_after - gradient)
    unit = widened(step) / length
    curvature = float(unit @ widened(objective.hvp(unit.to(objective.dtype), start)))
    eps = torch.finfo(objective.dtype).eps
    return StepReport(
        loss=loss,
        loss_after=loss_after,
        rounding=_ROUNDING * eps * (abs(loss) + abs(loss_after)),
        grad_norm=float(torch.linalg.vector_norm(widened(gradient))),
        step_norm=length,
        slope=float(widened(gradient) @ widened(step)),
        curvature=curvature,
        mean_curvature=float(bend @ unit) / length,
        smoothness=float(torch.linalg.vector_norm(bend)) / length,
        known_smoothness=smoothness,
    )
