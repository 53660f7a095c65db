"""The ways to compute ∇²L(θ)·v, and the planner that picks one by measuring."""

from landscape.hvp.differences import Differences
from landscape.hvp.planner import DEFAULT_MATVECS, DEFAULT_MEMORY, ROUTES, RoutePlan, again, consider_blocks, make
from landscape.hvp.product import LossParts, Product
from landscape.hvp.reverse import Fresh, count_saved_bytes, loss_and_gradient

__all__ = [
    "DEFAULT_MATVECS",
    "DEFAULT_MEMORY",
    "ROUTES",
    "Differences",
    "Fresh",
    "LossParts",
    "Product",
    "RoutePlan",
    "again",
    "consider_blocks",
    "count_saved_bytes",
    "loss_and_gradient",
    "make",
]
