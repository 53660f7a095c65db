"""How near a training is to the edge of stability: curvature as its optimizer meets it, beside the thresholds."""

from landscape.edge_of_stability.batches import batch_sharpness
from landscape.edge_of_stability.critical import critical_sharpness
from landscape.edge_of_stability.critical_step import CriticalStep, rounding_of
from landscape.edge_of_stability.directional import directional_sharpness
from landscape.edge_of_stability.generalized import generalized_sharpness
from landscape.edge_of_stability.preconditioned import preconditioned_sharpness
from landscape.edge_of_stability.report import stability
from landscape.edge_of_stability.updates import optimizer_update

__all__ = [
    "CriticalStep",
    "batch_sharpness",
    "critical_sharpness",
    "directional_sharpness",
    "generalized_sharpness",
    "optimizer_update",
    "preconditioned_sharpness",
    "rounding_of",
    "stability",
]
