"""Estimators read operators through matvecs alone, and return results with their errors."""

from landscape.estimators.density.slq import spectral_density
from landscape.estimators.density.spectrum import spectrum
from landscape.estimators.eigen.gap import spectral_gap
from landscape.estimators.eigen.missed import search_missed
from landscape.estimators.eigen.top import top_eigenpairs
from landscape.estimators.eigen.tracking import EigenTracker
from landscape.estimators.probes import probe
from landscape.estimators.second_order import second_order_gain
from landscape.estimators.subspace import class_attribution, gradient_share, layer_attribution, principal_angles
from landscape.estimators.traces.block_table import block_table
from landscape.estimators.traces.diagonal import diagonal
from landscape.estimators.traces.moments import frobenius_norm, spectral_moments
from landscape.estimators.traces.trace import trace

__all__ = [
    "EigenTracker",
    "block_table",
    "class_attribution",
    "diagonal",
    "frobenius_norm",
    "gradient_share",
    "layer_attribution",
    "principal_angles",
    "probe",
    "search_missed",
    "second_order_gain",
    "spectral_density",
    "spectral_gap",
    "spectral_moments",
    "spectrum",
    "top_eigenpairs",
    "trace",
]
