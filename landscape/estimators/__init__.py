"""Estimators read operators through matvecs alone, and return results with their errors."""

from landscape.estimators.density import spectral_density
from landscape.estimators.eigen import spectral_gap, top_eigenpairs
from landscape.estimators.probes import probe
from landscape.estimators.trace import trace

__all__ = ["probe", "spectral_density", "spectral_gap", "top_eigenpairs", "trace"]
