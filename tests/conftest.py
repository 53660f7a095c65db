"""Shared fixtures: small networks whose dense Hessian is cheap, and a check that a test leaves no trace."""

from __future__ import annotations

import os

import pytest
import torch

# Tests run side by side; more threads only make them wait for each other. The same for the processes they start.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


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
