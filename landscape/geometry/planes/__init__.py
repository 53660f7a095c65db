"""Planes and directions with a meaning: principal components of trainings, three models, the gradient and others."""

from landscape.geometry.planes.models import model_plane
from landscape.geometry.planes.named import Direction, direction
from landscape.geometry.planes.principal import pca_plane

__all__ = ["Direction", "direction", "model_plane", "pca_plane"]
