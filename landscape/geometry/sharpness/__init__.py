"""How sharp a minimum is: curvature, the worst and average loss around it, how much noise it bears, how it degenerates.

``measures()`` lists them; :func:`landscape.sharpness` measures one.
"""

from landscape.geometry.sharpness.definitions import BALLS
from landscape.geometry.sharpness.learning_coefficient import learning_coefficient
from landscape.geometry.sharpness.listing import measures
from landscape.geometry.sharpness.sharpness import sharpness

__all__ = ["BALLS", "learning_coefficient", "measures", "sharpness"]
