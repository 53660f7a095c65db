"""The ways to compute ∇²L(θ)·v, and the planner that picks one by measuring."""

from landscape.distributed import on_all_ranks
from landscape.hvp.blocks import consider_blocks
from landscape.hvp.branches import Questions
from landscape.hvp.finite_differences import Differences
from landscape.hvp.forward_mode import recording
from landscape.hvp.memory import allowed
from landscape.hvp.planner import DEFAULT_MATVECS, make
from landscape.hvp.product import LossParts, Product
from landscape.hvp.reverse import Derivatives, Fresh, count_saved_bytes, loss_and_gradient, up_to_second
from landscape.hvp.routes import ROUTES, again, check_route, keeping, on_other_data
from landscape.hvp.summed import Summed
from landscape.hvp.trials import RoutePlan

__all__ = [
    "DEFAULT_MATVECS",
    "ROUTES",
    "Derivatives",
    "Differences",
    "Fresh",
    "LossParts",
    "Product",
    "Questions",
    "RoutePlan",
    "Summed",
    "again",
    "allowed",
    "check_route",
    "consider_blocks",
    "count_saved_bytes",
    "keeping",
    "loss_and_gradient",
    "make",
    "on_all_ranks",
    "on_other_data",
    "recording",
    "up_to_second",
]
