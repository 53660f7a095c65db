"""Where runs pass a training loss: between which checkpoints, what a measure is there, which loss most reach."""

from landscape.crossing.brackets import WIDE, Between, Bracket, between, bracket
from landscape.crossing.levels import MOST, enough_runs, levels_upwards, lowest_level

__all__ = [
    "MOST",
    "WIDE",
    "Between",
    "Bracket",
    "between",
    "bracket",
    "enough_runs",
    "levels_upwards",
    "lowest_level",
]
