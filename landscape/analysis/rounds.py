"""Measuring on a time: in rounds, each more accurate than the last, the time shared by all runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from landscape import distributed
from landscape.analysis.plan import FINEST, Plan

#: Of the rounds, coarsest first. An error that halves costs four times as much, so what a round repeats of those before
#: is, beside pilots, a third of its work or so.
ACCURACIES = (0.2, 0.1, 0.05, 0.02, FINEST)
#: Of the time left, what something may be expected to take for it to be begun.
MARGIN = 0.9


def now() -> float:
    """Seconds since 1970: one clock for all processes of a machine, and rank 0's for ranks that measure together."""
    return distributed.agreed(time.time(), "the time")


def accuracies(plan: Plan) -> tuple[float, ...]:
    """Of each round, down to what was asked for."""
    finest = plan.accuracy or FINEST
    return (*(accuracy for accuracy in ACCURACIES if accuracy > finest), finest)


@dataclass(frozen=True)
class Round:
    """One of them, as jobs are told of it.

    Attributes
    ----------
    end : float
        When the time of the whole analysis is over.
    index, jobs, at_once : int
        Which run it is of how many, and how many are measured side by side.
    is_first : bool
        Everything is begun in the first round; later ones improve, and begin what did not fit before.
    is_asked : bool
        Whether its accuracy is one that a person asked for.
    """

    end: float
    index: int
    jobs: int
    at_once: int
    is_first: bool
    is_asked: bool

    def begin(self) -> Budget:
        """The share of a run that begins now: the time left belongs to the runs that are not done in equal parts."""
        left = max(self.end - now(), 0.0)
        return Budget(now() + min(left, left * self.at_once / (self.jobs - self.index)), self.is_first, self.is_asked)


@dataclass
class Budget:
    """What a run may take in a round."""

    end: float
    is_first: bool
    is_asked: bool

    @property
    def left(self) -> float:
        """Seconds."""
        return max(self.end - now(), 0.0)

    def fits(self, seconds: float, *, reserved: float = 0.0) -> bool:
        """Whether something is expected to be done in time, so much of which is wanted for other things."""
        return distributed.agreed(seconds <= MARGIN * self.left - reserved, "what fits")

    def held_back(self, seconds: float) -> float:
        """What of a later need is reserved: half of the time left at most."""
        return min(seconds, self.left / 2)


def rounds(plan: Plan, end: float) -> Iterator[tuple[Plan, dict[str, Any]]]:
    """The plan of each round, and what its jobs are told beside their place."""
    levels = accuracies(plan)
    for index, accuracy in enumerate(levels):
        is_asked = plan.accuracy is not None and index == len(levels) - 1
        yield plan.at(accuracy), {"end": end, "is_first": index == 0, "is_asked": is_asked}
