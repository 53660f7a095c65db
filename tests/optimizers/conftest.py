"""A generator for optimizers that draw."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture
def generator_of_its_own(global_random_state_is_untouched):
    """Optimizers that draw do so from torch's generator, as dropout does; training lends them one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
