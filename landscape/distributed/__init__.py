"""One question on several processes, by ``torch.distributed``: each holds a part of the data, all get the same numbers.

Which processes those are, launchers say (:mod:`landscape.distributed.environment`); they meet when something is first
measured together (:mod:`landscape.distributed.group`). What a rank makes from its part is summed by one flat all-reduce
(:mod:`landscape.distributed.sums`), parameters in shards are made whole on each of them
(:mod:`landscape.distributed.gathered`); what hangs on chance or time is rank 0's choice
(:mod:`landscape.distributed.agreeing`); and a rank that is gone ends the others (:mod:`landscape.distributed.watch`).
"""

from landscape.distributed.agreeing import agreed, by_first, check_same, is_first, on_all_ranks, together
from landscape.distributed.environment import ALONE, Place, place
from landscape.distributed.first_rank import of_first
from landscape.distributed.gathered import gathered, origin_of
from landscape.distributed.group import Group, alone, current, join
from landscape.distributed.shards import gathering, in_shards, is_in_shards, refuse_flat, unwrapped, whole_on_first
from landscape.distributed.sums import Sums, checksum

__all__ = [
    "ALONE",
    "Group",
    "Place",
    "Sums",
    "agreed",
    "alone",
    "by_first",
    "check_same",
    "checksum",
    "current",
    "gathered",
    "gathering",
    "in_shards",
    "is_first",
    "is_in_shards",
    "join",
    "of_first",
    "on_all_ranks",
    "origin_of",
    "place",
    "refuse_flat",
    "together",
    "unwrapped",
    "whole_on_first",
]
