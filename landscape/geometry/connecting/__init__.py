"""Ways between minima and what lies among several: curves of low loss, averages, and every pair."""

from landscape.geometry.connecting.connect import connect
from landscape.geometry.connecting.matrix import compare_minima
from landscape.geometry.connecting.merging import merge

__all__ = ["compare_minima", "connect", "merge"]
