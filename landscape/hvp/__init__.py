"""The ways to compute ∇²L(θ)·v, and which of them fits the memory."""

from landscape.hvp.routes import (
    DEFAULT_MEMORY,
    ROUTES,
    Fresh,
    Linearized,
    LossParts,
    Product,
    Retained,
    choose,
    count_saved_bytes,
    loss_and_gradient,
)

__all__ = [
    "DEFAULT_MEMORY",
    "ROUTES",
    "Fresh",
    "Linearized",
    "LossParts",
    "Product",
    "Retained",
    "choose",
    "count_saved_bytes",
    "loss_and_gradient",
]
