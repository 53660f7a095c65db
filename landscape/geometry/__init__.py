"""Walks over the objective: directions, slices, the way between two minima, and sharpness."""

from landscape.geometry.basins import basins
from landscape.geometry.directions import random_direction, random_plane
from landscape.geometry.interpolation import interpolate
from landscape.geometry.metrics import accuracy
from landscape.geometry.paths import evaluate_paths
from landscape.geometry.sharpness import BALLS, learning_coefficient, measures, sharpness
from landscape.geometry.slices import evaluate_line, evaluate_plane
from landscape.geometry.steps import examine_step

__all__ = [
    "BALLS",
    "accuracy",
    "basins",
    "evaluate_line",
    "evaluate_paths",
    "evaluate_plane",
    "examine_step",
    "interpolate",
    "learning_coefficient",
    "measures",
    "random_direction",
    "random_plane",
    "sharpness",
]
