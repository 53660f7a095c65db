"""Whose time it is: what training takes between two calls, what is added to it, and whether more may be."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from statistics import median

Clock = Callable[[], float]

#: A pause of this many typical steps or more, such as a validation or a night in a notebook, counts as so many.
LONGEST_PAUSE = 10.0
#: Steps of which the median is the typical one, and how many must be known before pauses are cut.
_REMEMBERED, _KNOWN = 25, 5
#: The next measurement is expected to take what the longest of so many last ones took.
_LAST_COSTS = 5
#: For a measurement may take longer than those before it, and the first longer than is thought. It delays the first one
#: by half, and not those after it, which what is left over has paid for.
_MORE = 1.5


class Stopwatch:
    """The time of a training loop in two parts, split where the loop calls.

    Attributes
    ----------
    trained : float
        Seconds between the calls, long pauses cut.
    spent : float
        Seconds inside the calls.
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self.trained = self.spent = 0.0
        self._left: float | None = None
        self._steps: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def share(self) -> float:
        """What was added, as a share of the training time; 0 before the first step."""
        return self.spent / self.trained if self.trained > 0 else 0.0

    def start(self) -> None:
        """From here on it is training."""
        self._left = self._clock()

    @contextmanager
    def inside(self, *, after_a_step: bool) -> Iterator[None]:
        """The time of this block is added to training; the time since the last one was a step of it, or is left out."""
        arrived = self._clock()
        if after_a_step and self._left is not None:
            self._count(arrived - self._left)
        try:
            yield
        finally:
            self._left = self._clock()
            self.spent += self._left - arrived

    def _count(self, seconds: float) -> None:
        if len(self._steps) >= _KNOWN and seconds > LONGEST_PAUSE * min(self._steps):
            seconds = min(seconds, LONGEST_PAUSE * median(self._steps))
        self._steps.append(seconds)
        self.trained += seconds


class Allowance:
    """Whether a measurement fits into the share of the training time so far that may be spent on them.

    Parameters
    ----------
    budget : float
        The share.
    expected : float
        Seconds that the first one should take.
    """

    def __init__(self, budget: float, expected: float) -> None:
        self._budget, self._first = budget, expected
        self._costs: deque[float] = deque(maxlen=_LAST_COSTS)

    @property
    def expected(self) -> float:
        """Seconds that the next one should take at most."""
        return _MORE * max(self._costs, default=self._first)

    def covers_one(self, watch: Stopwatch) -> bool:
        """Whether the share would still be kept after one more."""
        return watch.spent + self.expected <= self._budget * watch.trained

    def note(self, seconds: float) -> None:
        """What one took."""
        self._costs.append(seconds)
