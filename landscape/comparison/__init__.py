"""Groups of runs side by side, seeds as replicates: means, differences and ranks, each with its uncertainty."""

from landscape.comparison.contrasts import contrast_table, contrasts
from landscape.comparison.equal_loss import HOW, UNEQUAL, at_equal_loss, losses_differ
from landscape.comparison.groups import FEW_SEEDS, NOT_A_CLAIM
from landscape.comparison.means import cells, compare, comparison_table, pivot
from landscape.comparison.ranks import rank_table, ranks_with_gap
from landscape.comparison.spreads import spread_cells, spread_table, spreads
from landscape.statistics import mean_interval

__all__ = [
    "FEW_SEEDS",
    "HOW",
    "NOT_A_CLAIM",
    "UNEQUAL",
    "at_equal_loss",
    "cells",
    "compare",
    "comparison_table",
    "contrast_table",
    "contrasts",
    "losses_differ",
    "mean_interval",
    "pivot",
    "rank_table",
    "ranks_with_gap",
    "spread_cells",
    "spread_table",
    "spreads",
]
