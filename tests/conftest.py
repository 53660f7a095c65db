"""Shared fixtures: small networks whose dense Hessian is cheap, and a check that a test leaves no trace."""

from __future__ import annotations

import os
import random
import time

import pytest
import torch
from hypothesis import is_hypothesis_test, settings

# Tests run side by side; more threads only make them wait for each other. The same for the processes they start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"

#: Set by ``make test-all``: property tests then draw new examples, ten times as many.
RANDOM_SEARCH = os.environ.get("RANDOM_SEARCH") == "1"
_TIMES_AS_MANY = 10

#: Seconds since 1970 after which no slow test begins, where time is short. Those left out are counted as skipped; in an
#: order of its own for every text in ``SLOW_ORDER`` each of them is run sooner or later.
SLOW_UNTIL, SLOW_ORDER = float(os.environ.get("SLOW_UNTIL", "inf")), os.environ.get("SLOW_ORDER", "")

# In daily use the examples are always the same, so that a test fails because of a change and not by chance. What the
# search finds becomes a fixed @example.
settings.register_profile("fixed", derandomize=True)
settings.register_profile("search", derandomize=False, print_blob=True)
settings.load_profile("search" if RANDOM_SEARCH else "fixed")


def pytest_collection_modifyitems(items):
    """More examples for a search: each test sets its own number, over which a profile has no say."""
    for test in {item.obj for item in items if RANDOM_SEARCH and is_hypothesis_test(getattr(item, "obj", None))}:
        own = test._hypothesis_internal_use_settings
        test._hypothesis_internal_use_settings = settings(own, max_examples=_TIMES_AS_MANY * own.max_examples)
    if SLOW_ORDER:  # file by file, for tests of one share what they have made
        files = sorted({item.path for item in items})
        random.Random(SLOW_ORDER).shuffle(files)
        items.sort(key=lambda item: files.index(item.path))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    if time.time() > SLOW_UNTIL and item.get_closest_marker("slow"):
        pytest.skip("the time of this run is over; make test-slow has all of them")


@pytest.fixture(autouse=True)
def global_random_state_is_untouched():
    """Nothing in the package may seed or draw from the caller's generator."""
    before = torch.random.get_rng_state()
    torch.manual_seed(12345)
    start = torch.random.get_rng_state()
    yield
    untouched = torch.equal(start, torch.random.get_rng_state())
    torch.random.set_rng_state(before)
    assert untouched, "the test moved torch's global generator: the package must leave it alone (fork_rng in the test)"
