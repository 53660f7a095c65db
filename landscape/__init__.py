"""What kind of minimum did my optimizer find? Curvature and loss landscapes of PyTorch models, with errors.

Names are imported when first used, so that looking at results never loads torch.
"""

from __future__ import annotations

import importlib
from typing import Any

from landscape.version import __version__

_HOMES = {
    "landscape.errors": (
        "LandscapeError",
        "ObjectiveError",
        "CheckpointError",
        "ResultsError",
        "UsageError",
        "NotConverged",
    ),
    "landscape.objective": ("Objective", "logit_normalized"),
    "landscape.operators": (
        "HessianOperator",
        "GaussNewtonOperator",
        "FisherOperator",
        "PreconditionedOperator",
        "preconditioner",
        "BlockDiagonalOperator",
        "block_diagonal",
        "ProjectedOperator",
        "DeflatedOperator",
        "MatrixOperator",
        "IdentityOperator",
        "LinearOperator",
        "as_operator",
        "ExactOperator",
        "exact",
        "exact_cost",
        "exact_fits",
    ),
    "landscape.estimators": (
        "top_eigenpairs",
        "spectral_gap",
        "trace",
        "spectral_density",
        "spectrum",
        "diagonal",
        "frobenius_norm",
        "spectral_moments",
        "block_table",
        "EigenTracker",
        "search_missed",
        "principal_angles",
        "gradient_share",
        "layer_attribution",
        "class_attribution",
        "second_order_gain",
    ),
    "landscape.sampling": ("over_subsets", "gradient_noise", "gradient_noise_scale"),
    "landscape.edge_of_stability": (
        "stability",
        "optimizer_update",
        "critical_sharpness",
        "batch_sharpness",
        "directional_sharpness",
        "preconditioned_sharpness",
        "generalized_sharpness",
    ),
    "landscape.geometry": (
        "random_direction",
        "random_plane",
        "evaluate_line",
        "evaluate_plane",
        "evaluate_paths",
        "pca_plane",
        "model_plane",
        "direction",
        "gradient_norm",
        "accuracy",
        "align",
        "basins",
        "distances",
        "examine_step",
        "interpolate",
        "permuted_copy",
        "repair",
        "connect",
        "merge",
        "sharpness",
        "measures",
        "learning_coefficient",
    ),
    "landscape.topology": ("persistence",),
    "landscape.exchange": (
        "read_surface",
        "write_surface",
        "read_projection",
        "write_projection",
        "write_vtk",
    ),
    "landscape.exchange.directions": ("read_direction", "write_direction"),
    "landscape.checkpoints": ("CheckpointDir", "Checkpoint", "save_checkpoint", "load_checkpoint", "import_checkpoint"),
    "landscape.monitoring": ("Monitor", "CheckpointWriter"),
    "landscape.problems": ("Problem", "get_problem"),
    "landscape.analysis.plan": ("Plan",),
    "landscape.analysis.pipeline": ("analyze",),
    "landscape.pictures": ("draw",),
    "landscape.analysis.minima": ("minima_matrix",),
    "landscape.store": ("load_results", "citations"),
    "landscape.witness": ("crosscheck",),
    "landscape.comparison": ("compare",),
    "landscape.results": (
        "Estimate",
        "SpectralGap",
        "Eigenpairs",
        "Diagonal",
        "SpectralMoments",
        "BlockTable",
        "Attribution",
        "MissedSearch",
        "PrincipalAngles",
        "SpectralMeasure",
        "OutlierCount",
        "Spectrum",
        "SamplingSpread",
        "PointValue",
        "LineSlice",
        "PlaneSlice",
        "PathSlice",
        "PcaPlane",
        "ModelPlane",
        "Connection",
        "Merged",
        "MinimaMatrix",
        "Persistence",
        "Basins",
        "StepHistory",
        "StepReport",
        "Alignment",
        "Repaired",
        "SecondOrderGain",
        "Sharpness",
        "LearningCoefficient",
        "Crosscheck",
        "Distances",
        "OptimizerUpdate",
        "DirectionalSharpness",
        "GeneralizedSharpness",
        "Stability",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME_OF])
