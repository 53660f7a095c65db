"""Groups of runs side by side, seeds as replicates: means, differences and ranks, each with its uncertainty."""

from landscape.comparison.averages import LINEAR, LOG, Centre, centre, centre_of, scale_of
from landscape.comparison.contrasts import ALPHA, contrast_table, contrasts, estimate_of
from landscape.comparison.equal_loss import EQUAL, HOW, EqualLoss, at_equal_loss, losses_differ
from landscape.comparison.equal_loss_table import equal_loss_cells, equal_loss_table, where_read
from landscape.comparison.groups import FEW_SEEDS, NOT_A_CLAIM
from landscape.comparison.means import cells, compare, comparison_table, pivot
from landscape.comparison.ranks import rank_table, ranks_with_gap
from landscape.comparison.spreads import spread_cells, spread_table, spreads
from landscape.statistics import mean_interval

__all__ = [
    "ALPHA",
    "EQUAL",
    "FEW_SEEDS",
    "HOW",
    "LINEAR",
    "LOG",
    "NOT_A_CLAIM",
    "Centre",
    "EqualLoss",
    "at_equal_loss",
    "cells",
    "centre",
    "centre_of",
    "compare",
    "comparison_table",
    "contrast_table",
    "contrasts",
    "equal_loss_cells",
    "equal_loss_table",
    "estimate_of",
    "losses_differ",
    "mean_interval",
    "pivot",
    "rank_table",
    "ranks_with_gap",
    "scale_of",
    "spread_cells",
    "spread_table",
    "spreads",
    "where_read",
]
