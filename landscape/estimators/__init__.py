"""Estimators read operators through matvecs alone, and return results with their errors."""

from landscape.estimators.blocktable import block_table
from landscape.estimators.density import spectral_density
from landscape.estimators.diagonal import diagonal
from landscape.estimators.eigen import top_eigenpairs
from landscape.estimators.gap import spectral_gap
from landscape.estimators.missed import search_missed
from landscape.estimators.moments import frobenius_norm, spectral_moments
from landscape.estimators.probes import probe
from landscape.estimators.spectrum import spectrum
from landscape.estimators.subspace import class_attribution, gradient_share, layer_attribution, principal_angles
from landscape.estimators.trace import trace
from landscape.estimators.tracking import EigenTracker

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
    "spectral_density",
    "spectral_gap",
    "spectral_moments",
    "spectrum",
    "top_eigenpairs",
    "trace",
]
