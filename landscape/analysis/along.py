"""What is measured at every checkpoint of a training, not at its end alone: noise, top space, edge of stability, way.

In products with the Hessian, beside about nine for the eigenpairs of an earlier checkpoint: the noise scale half of
one, both shares none, distances none, stability four to five, with a preconditioner ten more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from landscape import estimators, geometry
from landscape.analysis.context import CheckpointContext
from landscape.analysis.measures import TAIL_PAIRS, pairs_with_vectors
from landscape.edge_of_stability.measuring import MEASURES, Known, Measuring, batch_size_of
from landscape.progress import Progress
from landscape.results import Distances, Eigenpairs, Estimate, Stability
from landscape.sampling import gradient_noise_scale

#: Left to the last checkpoint: a maximum over a ball takes as long as all the rest.
_AT_THE_END = ("generalized_sharpness",)
#: Batches for batch sharpness, which tell their error; at the last checkpoint those of so many deals of the data.
_BATCHES, _DEALS = 16, 2


def noise_scale(context: CheckpointContext, progress: Progress) -> Estimate:
    return gradient_noise_scale(context.objective, gradient=context.loss_and_gradient[1], seed=context.plan.seed)


def gradient_share(context: CheckpointContext, progress: Progress) -> Estimate:
    return _share(context, context.loss_and_gradient[1], "gradient")


def update_share(context: CheckpointContext, progress: Progress) -> Estimate:
    assert context.update is not None
    return _share(context, context.update.vector, "update")


def _share(context: CheckpointContext, vector: Any, of: str) -> Estimate:
    """In the span of the two sharpest directions; NaN of a vector that is zero, which points nowhere."""
    if not bool((vector != 0).any()):
        return Estimate(float("nan"), method=f"the {of} is zero")
    pairs = _top_pairs(context)
    k = min(TAIL_PAIRS, len(pairs))
    found = estimators.gradient_share(vector, pairs, k=k)
    return replace(found, method=f"share of the {of} in the span of the {k} top eigenvectors")


def _top_pairs(context: CheckpointContext) -> Eigenpairs:
    """The largest pairs with their vectors."""
    pairs = pairs_with_vectors(context)
    top = pairs.top
    return replace(
        pairs, values=pairs.values[top], vectors=pairs.vectors[:, top], residuals=pairs.residuals[top],
        converged=pairs.converged[top], which="largest",
    )  # fmt: skip


def stability(context: CheckpointContext, progress: Progress) -> Stability:
    """By the batch size that training had, on the examples of the objective."""
    checkpoint = context.checkpoint
    assert checkpoint is not None
    size, batches = batch_size_of(checkpoint), _BATCHES
    if context.is_last and size:
        batches = max(batches, _DEALS * context.objective.num_examples // size)
    measuring = Measuring(
        context.objective, checkpoint, batch_size=size, num_batches=batches,
        known=Known(context.hessian, context.eigenpairs, context.loss_and_gradient, context.update),
        seed=context.plan.seed,
    )  # fmt: skip
    wanted = [name for name in MEASURES if context.is_last or name not in _AT_THE_END]
    return measuring.record(checkpoint.step, wanted)


def distances(context: CheckpointContext, progress: Progress) -> Distances:
    """From the first and the last checkpoint of the run."""
    assert context.ends is not None
    start, end = context.ends
    step = -1 if context.checkpoint is None else context.checkpoint.step
    return replace(geometry.distances(context.objective, start=start, end=end), step=step)
