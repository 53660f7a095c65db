"""What a handful of seeds can say: intervals, tests and effect sizes that hold their level for few replicates."""

from landscape.statistics.association import RankCorrelation, kendall
from landscape.statistics.contrast import Contrast, contrast
from landscape.statistics.effects import detectable_effect, effect_size
from landscape.statistics.intervals import bootstrap_interval, geometric_interval, mean_interval
from landscape.statistics.permutation import holm, permutation_test
from landscape.statistics.spread import equal_spread, std_interval

__all__ = [
    "Contrast",
    "RankCorrelation",
    "bootstrap_interval",
    "contrast",
    "detectable_effect",
    "effect_size",
    "equal_spread",
    "geometric_interval",
    "holm",
    "kendall",
    "mean_interval",
    "permutation_test",
    "std_interval",
]
