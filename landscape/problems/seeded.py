"""What a user's factory draws at random, the same in every process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from landscape.device import accelerators, generators_kept


@contextmanager
def seeded() -> Iterator[None]:
    """All global generators at seed 0, and afterwards as they were, so that a factory draws the same everywhere."""
    numbers, state = np.random.get_state(), random.getstate()  # noqa: NPY002  what users draw from
    with generators_kept(accelerators(), seed=0):
        np.random.seed(0)  # noqa: NPY002
        random.seed(0)
        try:
            yield
        finally:
            np.random.set_state(numbers)  # noqa: NPY002
            random.setstate(state)
