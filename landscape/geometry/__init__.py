"""Walks over the objective: directions, slices, the way between two minima, and sharpness."""

from landscape.geometry.alignment import align, permuted_copy, repair
from landscape.geometry.basins import basins
from landscape.geometry.directions import random_direction, random_plane
from landscape.geometry.interpolation import interpolate
from landscape.geometry.metrics import accuracy
from landscape.geometry.paths import evaluate_paths
from landscape.geometry.sharpness import BALLS, sharpness
from landscape.geometry.slices import evaluate_line, evaluate_plane
from landscape.geometry.steps import examine_step

__all__ = [
    "BALLS",
    "accuracy",
    "align",
    "basins",
    "evaluate_line",
    "evaluate_paths",
    "evaluate_plane",
    "examine_step",
    "interpolate",
    "permuted_copy",
    "random_direction",
    "random_plane",
    "repair",
    "sharpness",
]
