"""Surfaces and what belongs to them in the files of other tools. No torch, but for directions, which need a model."""

from landscape.exchange.describe import describe_original
from landscape.exchange.projections import read_projection, write_projection
from landscape.exchange.surfaces import read_surface, write_surface
from landscape.exchange.vtk import write_vtk

__all__ = [
    "describe_original",
    "read_projection",
    "read_surface",
    "write_projection",
    "write_surface",
    "write_vtk",
]
