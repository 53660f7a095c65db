"""A checkpoint with everything in it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from landscape.checkpoints import (
    save_checkpoint,
)
from tests.support.checkpoints import make, stepped


@pytest.fixture
def saved(tmp_path) -> Path:
    """A checkpoint with everything in it."""
    model = make()
    optimizer = stepped("Adam", model)
    return save_checkpoint(
        tmp_path,
        model,
        step=7,
        problem="mlp-digits",
        optimizer=optimizer,
        metrics={"train_loss": 0.25, "accuracy_per_class": [1.0, None]},
        config={"optimizer": "adam", "lr": 0.01, "seed": 4, "note": "θ"},
        resume={"rng": torch.arange(9, dtype=torch.uint8), "order": {"position": 3}},
    )
