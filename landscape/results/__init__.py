"""Frozen NumPy records: every measured quantity with its own error, cost and seed. Nothing here loads torch."""

from landscape.results.alignment import Alignment, Repaired
from landscape.results.base import Estimate, Record
from landscape.results.basins import Basins
from landscape.results.connection import Connection
from landscape.results.crosscheck import Crosscheck
from landscape.results.distances import Distances
from landscape.results.eigenpairs import Eigenpairs, SpectralGap
from landscape.results.evaluation import Evaluation
from landscape.results.learning_coefficient import LearningCoefficient
from landscape.results.merged import Merged
from landscape.results.minima import MinimaMatrix
from landscape.results.moments import BlockTable, Diagonal, SpectralMoments
from landscape.results.outliers import OutlierCount
from landscape.results.paths import PathSlice
from landscape.results.persistence import Persistence
from landscape.results.planes import ModelPlane, PcaPlane
from landscape.results.sampling import SamplingSpread
from landscape.results.second_order import SecondOrderGain
from landscape.results.spectral_measure import SpectralMeasure
from landscape.results.spectrum import Spectrum
from landscape.results.stability import DirectionalSharpness, GeneralizedSharpness, OptimizerUpdate, Stability
from landscape.results.step_history import StepHistory
from landscape.results.steps import StepReport
from landscape.results.subspace import Attribution, MissedSearch, PrincipalAngles
from landscape.results.surface import LineSlice, PlaneSlice, PointValue, Sharpness

__all__ = [
    "Alignment",
    "Attribution",
    "Basins",
    "BlockTable",
    "Connection",
    "Crosscheck",
    "Diagonal",
    "DirectionalSharpness",
    "Distances",
    "Eigenpairs",
    "Estimate",
    "Evaluation",
    "GeneralizedSharpness",
    "LearningCoefficient",
    "LineSlice",
    "Merged",
    "MinimaMatrix",
    "MissedSearch",
    "ModelPlane",
    "OptimizerUpdate",
    "OutlierCount",
    "PathSlice",
    "PcaPlane",
    "Persistence",
    "PlaneSlice",
    "PointValue",
    "PrincipalAngles",
    "Record",
    "Repaired",
    "SamplingSpread",
    "SecondOrderGain",
    "Sharpness",
    "SpectralGap",
    "SpectralMeasure",
    "SpectralMoments",
    "Spectrum",
    "Stability",
    "StepHistory",
    "StepReport",
]
