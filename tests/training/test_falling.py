"""Checkpoints where the loss falls fast: about a factor apart, few, and the same after a resume."""

from __future__ import annotations

import itertools
import math
import shutil

import pytest

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.training import train, training_settings
from landscape.training.falling import FallingLoss
from tests.support.trainings import everything, small

FAST = {"optimizer": "adam", "lr": 0.02, "epochs": 12, "batch_size": 10, "save_every": 1000}


def watch(losses, factor=1.25, *, batch_size=512, begin=None):
    """The steps at which a checkpoint is due."""
    falling = FallingLoss(factor, batch_size=batch_size, num_examples=512)
    falling.begin(losses[0] if begin is None else begin)
    due = []
    for step, loss in enumerate(losses):
        falling.add(loss)
        if falling.has_fallen:
            falling.saved()
            due.append(step)
    return due


def test_without_noise_they_are_the_factor_apart_and_their_number_is_the_logarithm_of_the_fall():
    losses = [2.0 * 0.99**k for k in range(1000)]
    due = watch(losses)
    ratios = [losses[a] / losses[b] for a, b in itertools.pairwise(due)]
    assert all(1.25 <= ratio < 1.25 / 0.99 for ratio in ratios)
    assert len(due) == 999 // 23  # 0.99²³ is the first power below 1/1.25


def test_their_number_is_bounded_however_the_loss_jumps():
    """Up and down by a factor of 100 at every step: the lowest so far is lower twice."""
    assert watch([2.0, 0.02] * 500 + [0.0002]) == [1, 1000]


def test_small_batches_are_averaged_so_that_one_of_them_decides_nothing():
    losses = [1.0] * 100
    losses[60] = 0.2
    assert watch(losses, batch_size=16) == []
    assert watch(losses, batch_size=512) == [60]


@pytest.mark.parametrize("losses", [[-1.0, -2.0, -4.0], [1.0, 0.0, -1.0], [float("inf"), 1.0]])
def test_a_loss_without_a_factor_saves_nothing(losses):
    assert watch(losses) == []


def test_a_training_saves_more_where_its_loss_falls_and_takes_the_same_steps(tmp_path):
    plain = train(small(), tmp_path / "plain", **FAST)
    dense = train(small(), tmp_path / "dense", **FAST, save_losses=1.25)
    assert dense.params_sha256 == plain.params_sha256
    assert CheckpointDir(tmp_path / "plain").steps == (0, 60)
    losses = [c.metrics["train_loss"] for c in CheckpointDir(tmp_path / "dense")]
    assert len(losses) > 5
    fall = max(losses) / min(losses)
    assert len(losses) <= 2 + math.log(2 * fall) / math.log(1.25)
    steps = [a / b for a, b in itertools.pairwise(losses)]
    assert sum(ratio < 2 for ratio in steps) >= 0.8 * len(steps)
    assert dense.config["save_losses"] == 1.25
    assert plain.config["save_losses"] == 0


@pytest.mark.parametrize("kept", [1, 4])
def test_a_run_that_was_stopped_saves_at_the_same_steps(tmp_path, kept):
    train(small(), tmp_path / "whole", **FAST, save_losses=1.25)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[kept:]:
        file.unlink()
    train(small(), tmp_path / "stopped", resume=True)
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")


def test_a_run_that_did_not_watch_its_loss_can_go_on_watching_it(tmp_path):
    train(small(), tmp_path, **FAST | {"epochs": 1, "save_every": 2})
    last = train(small(), tmp_path, resume=True, epochs=12, save_every=1000, save_losses=1.25)
    assert last.step == 60
    assert len(CheckpointDir(tmp_path)) > 5


@pytest.mark.parametrize("factor", [0.5, 1.0, -2, float("inf"), "much"])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(UsageError, match="save_losses"):
        training_settings(small(), {"save_losses": factor})
