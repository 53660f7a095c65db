"""A fixed question: loss, gradient and Hessian-vector product of a model on given data, examined when it is made."""

from landscape.objective.batches import Weight
from landscape.objective.logits import logit_normalized
from landscape.objective.objective import Objective
from landscape.objective.variants import Vector

__all__ = ["Objective", "Vector", "Weight", "logit_normalized"]
