"""Groups of runs side by side, seeds as replicates: means, differences and ranks, each with its uncertainty."""

from landscape.comparison.averages import LINEAR, LOG, Centre, centre, centre_of, centres_of, scale_of
from landscape.comparison.contrasts import DISAGREE, contrast_table, contrasts
from landscape.comparison.equal_loss import EQUAL, EqualLoss, at_equal_loss, losses_differ
from landscape.comparison.equal_loss_table import equal_loss_cells, equal_loss_table, where_read
from landscape.comparison.groups import FEW_SEEDS, NOT_A_CLAIM
from landscape.comparison.means import STAND, cells, compare, comparison_table, pivot
from landscape.comparison.other_levels import other_levels
from landscape.comparison.ranks import rank_table, ranks
from landscape.comparison.spreads import spread_cells, spread_table, spreads
from landscape.comparison.verdicts import ALPHA, design_notes, estimate_of, interval_text, verdict_text
from landscape.statistics import CANNOT_TELL, DIFFERENT, mean_interval

__all__ = [
    "ALPHA",
    "CANNOT_TELL",
    "DIFFERENT",
    "DISAGREE",
    "EQUAL",
    "FEW_SEEDS",
    "LINEAR",
    "LOG",
    "NOT_A_CLAIM",
    "STAND",
    "Centre",
    "EqualLoss",
    "at_equal_loss",
    "cells",
    "centre",
    "centre_of",
    "centres_of",
    "compare",
    "comparison_table",
    "contrast_table",
    "contrasts",
    "design_notes",
    "equal_loss_cells",
    "equal_loss_table",
    "estimate_of",
    "interval_text",
    "losses_differ",
    "mean_interval",
    "other_levels",
    "pivot",
    "rank_table",
    "ranks",
    "scale_of",
    "spread_cells",
    "spread_table",
    "spreads",
    "verdict_text",
    "where_read",
]
