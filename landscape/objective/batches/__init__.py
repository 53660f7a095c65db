"""The data of an objective: read once, kept in a fixed order, cut into weighted chunks, hashed by value."""

from landscape.objective.batches.batches import Batches, check_chunk
from landscape.objective.batches.containers import unpack
from landscape.objective.batches.examples import can_cut, cast, count_examples, cut, take
from landscape.objective.batches.weighing import Weight, weigh

__all__ = ["Batches", "Weight", "can_cut", "cast", "check_chunk", "count_examples", "cut", "take", "unpack", "weigh"]
