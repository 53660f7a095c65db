"""Frozen NumPy records: every measured quantity with its own error, cost and seed. Nothing here loads torch."""

from landscape.results.base import Estimate, Record
from landscape.results.basins import Basins
from landscape.results.crosscheck import Crosscheck
from landscape.results.eigenpairs import Eigenpairs, SpectralGap
from landscape.results.evaluation import Evaluation
from landscape.results.learning_coefficient import LearningCoefficient
from landscape.results.moments import BlockTable, Diagonal, SpectralMoments
from landscape.results.outliers import OutlierCount
from landscape.results.paths import PathSlice
from landscape.results.sampling import SamplingSpread
from landscape.results.second_order import SecondOrderGain
from landscape.results.spectral_measure import SpectralMeasure
from landscape.results.spectrum import Spectrum
from landscape.results.steps import StepReport
from landscape.results.subspace import Attribution, MissedSearch, PrincipalAngles
from landscape.results.surface import LineSlice, PlaneSlice, PointValue, Sharpness

__all__ = [
    "Attribution",
    "Basins",
    "BlockTable",
    "Crosscheck",
    "Diagonal",
    "Eigenpairs",
    "Estimate",
    "Evaluation",
    "LearningCoefficient",
    "LineSlice",
    "MissedSearch",
    "OutlierCount",
    "PathSlice",
    "PlaneSlice",
    "PointValue",
    "PrincipalAngles",
    "Record",
    "SamplingSpread",
    "SecondOrderGain",
    "Sharpness",
    "SpectralGap",
    "SpectralMeasure",
    "SpectralMoments",
    "Spectrum",
    "StepReport",
]
