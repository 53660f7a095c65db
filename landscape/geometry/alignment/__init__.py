"""Neurons of one network brought into the order of another's, and averages of such networks repaired."""

from landscape.geometry.alignment.align import align
from landscape.geometry.alignment.copies import permuted_copy
from landscape.geometry.alignment.repair import repair

__all__ = ["align", "permuted_copy", "repair"]
