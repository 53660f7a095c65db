"""The ways to compute ∇²L(θ)·v, and the planner that picks one by measuring."""

from landscape.hvp.blocks import consider_blocks
from landscape.hvp.forward_mode import recording
from landscape.hvp.planner import DEFAULT_MATVECS, DEFAULT_MEMORY, make
from landscape.hvp.plans import RoutePlan
from landscape.hvp.product import LossParts, Product, is_out_of_memory
from landscape.hvp.reverse import Fresh, count_saved_bytes, loss_and_gradient
from landscape.hvp.routes import ROUTES, again

__all__ = [
    "DEFAULT_MATVECS",
    "DEFAULT_MEMORY",
    "ROUTES",
    "Fresh",
    "LossParts",
    "Product",
    "RoutePlan",
    "again",
    "consider_blocks",
    "count_saved_bytes",
    "is_out_of_memory",
    "loss_and_gradient",
    "make",
    "recording",
]
