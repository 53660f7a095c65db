"""Frozen NumPy records: every measured quantity with its own error, cost and seed. Nothing here loads torch."""

from landscape.results.base import Estimate, Record
from landscape.results.measure import SpectralMeasure
from landscape.results.spectrum import Eigenpairs, SpectralGap
from landscape.results.surface import LineSlice, PlaneSlice, PointValue, Sharpness

__all__ = [
    "Eigenpairs",
    "Estimate",
    "LineSlice",
    "PlaneSlice",
    "PointValue",
    "Record",
    "Sharpness",
    "SpectralGap",
    "SpectralMeasure",
]
