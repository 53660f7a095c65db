"""What a handful of seeds can say: intervals, tests and effect sizes that hold their level for few replicates."""

from landscape.statistics.association import RankCorrelation, kendall
from landscape.statistics.contrast import Contrast, contrast
from landscape.statistics.decisions import CANNOT_TELL, DIFFERENT, OPEN, Decision, decide
from landscape.statistics.detectable import detectable_effect
from landscape.statistics.effects import effect_size
from landscape.statistics.intervals import bootstrap_interval, geometric_interval, mean_interval
from landscape.statistics.mixing import effective_size, split_rhat
from landscape.statistics.multiplicity import holm, holm_with_signs
from landscape.statistics.permutation import permutation_test, smallest_p
from landscape.statistics.ranking import Ranking, granulated, rank_over_groups, rank_within_groups
from landscape.statistics.spread import equal_spread, std_interval

__all__ = [
    "CANNOT_TELL",
    "DIFFERENT",
    "OPEN",
    "Contrast",
    "Decision",
    "RankCorrelation",
    "Ranking",
    "bootstrap_interval",
    "contrast",
    "decide",
    "detectable_effect",
    "effect_size",
    "effective_size",
    "equal_spread",
    "geometric_interval",
    "granulated",
    "holm",
    "holm_with_signs",
    "kendall",
    "mean_interval",
    "permutation_test",
    "rank_over_groups",
    "rank_within_groups",
    "smallest_p",
    "split_rhat",
    "std_interval",
]
