"""How sharp a minimum is: curvature, and the worst and average loss around it, plain, adaptive and logit-normalised."""

from landscape.geometry.sharpness.definitions import BALLS
from landscape.geometry.sharpness.sharpness import sharpness

__all__ = ["BALLS", "sharpness"]
