"""The Fisher-Rao norm: how far the outputs move, by their own metric, when all parameters grow together."""

from __future__ import annotations

from torch import Tensor

from landscape.objective import Objective
from landscape.operators import FisherOperator, GaussNewtonOperator

#: By whose labels the Fisher information is, as records say it.
KINDS = {
    "model": "F by the model's own labels: the Gauss-Newton matrix of the loss",
    "data": "F by the labels of the data, the empirical Fisher",
}


def fisher_rao(objective: Objective, theta: Tensor, *, labels: str) -> tuple[float, float]:
    """``θᵀFθ`` and its rounding: one pass forward with tangents, and as many again on the first chunk to try it."""
    if labels == "model":
        operator: GaussNewtonOperator | FisherOperator = GaussNewtonOperator(objective, theta, route="fresh")
    else:
        operator = FisherOperator(objective, theta, kind="empirical", route="fresh")
    value = operator.quadratic_form(theta)
    return value, operator.resolution * abs(value)
