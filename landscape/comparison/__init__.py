"""Groups of runs side by side, seeds as replicates: means, differences and ranks, each with its uncertainty."""

from landscape.comparison.contrasts import contrast_table, contrasts
from landscape.comparison.groups import FEW_SEEDS, NOT_A_CLAIM
from landscape.comparison.means import cells, compare, comparison_table, pivot
from landscape.comparison.ranks import rank_table, ranks_with_gap
from landscape.comparison.spreads import spread_cells, spread_table, spreads
from landscape.statistics import mean_interval

__all__ = [
    "FEW_SEEDS",
    "NOT_A_CLAIM",
    "cells",
    "compare",
    "comparison_table",
    "contrast_table",
    "contrasts",
    "mean_interval",
    "pivot",
    "rank_table",
    "ranks_with_gap",
    "spread_cells",
    "spread_table",
    "spreads",
]
