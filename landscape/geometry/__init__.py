"""Walks over the objective: directions, slices, the way between two minima, and sharpness."""

from landscape.geometry.alignment import align, permuted_copy, repair
from landscape.geometry.basins import basins
from landscape.geometry.connecting import connect, merge
from landscape.geometry.directions import random_direction, random_plane
from landscape.geometry.distances import distances
from landscape.geometry.interpolation import interpolate
from landscape.geometry.metrics import accuracy, gradient_norm
from landscape.geometry.paths import evaluate_paths
from landscape.geometry.planes import direction, model_plane, pca_plane
from landscape.geometry.sharpness import BALLS, learning_coefficient, measures, sharpness
from landscape.geometry.slices import evaluate_line, evaluate_plane
from landscape.geometry.steps import examine_step

__all__ = [
    "BALLS",
    "accuracy",
    "align",
    "basins",
    "connect",
    "direction",
    "distances",
    "evaluate_line",
    "evaluate_paths",
    "evaluate_plane",
    "examine_step",
    "gradient_norm",
    "interpolate",
    "learning_coefficient",
    "measures",
    "merge",
    "model_plane",
    "pca_plane",
    "permuted_copy",
    "random_direction",
    "random_plane",
    "repair",
    "sharpness",
]
