"""Runs in, pictures of their loss out: planes evaluated, stored and drawn."""

from landscape.pictures.drawing import PLANES, Picture, draw

__all__ = ["PLANES", "Picture", "draw"]
