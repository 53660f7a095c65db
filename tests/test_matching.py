"""Runs at equal training loss: of each the first checkpoint as low as all runs get."""

from __future__ import annotations

import json
import math

import pytest
import torch

from landscape.checkpoints import CheckpointDir, find_runs, match_losses, save_checkpoint
from landscape.errors import CheckpointError, UsageError

LOSSES = {
    "a": [2.0, 1.0, 0.5, 0.25, 0.125],
    "b": [2.0, 1.5, 0.9, 0.4, 0.3],
    "c": [2.0, 0.2, 0.6, 0.1, 0.05],  # not monotone: the first as low is taken
}


def linear(seed: int) -> torch.nn.Linear:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Linear(3, 2)


@pytest.fixture
def runs(tmp_path):
    """Three runs whose checkpoints have the losses above at steps 0, 10, 20 …"""
    for name, losses in LOSSES.items():
        for index, loss in enumerate(losses):
            save_checkpoint(tmp_path / "runs" / name, linear(index), step=10 * index, metrics={"train_loss": loss})
    return tmp_path / "runs"


def test_each_run_stands_at_its_first_checkpoint_as_low_as_the_highest_of_the_lowest_losses(runs, tmp_path):
    found = match_losses(runs, tmp_path / "matched")
    assert found.level == 0.3
    assert found.steps == {"a": 30, "b": 40, "c": 10}
    assert found.losses == {"a": 0.25, "b": 0.3, "c": 0.2}
    assert found.spread == pytest.approx(1.5)
    for name, step in found.steps.items():
        placed = CheckpointDir(tmp_path / "matched" / name)
        assert placed.steps == (step,)
        assert placed[0].params_sha256 == CheckpointDir(runs / name)[step // 10].params_sha256
    assert len(find_runs(runs)) == 3
    assert json.loads((tmp_path / "matched" / "matching.json").read_text())["steps"] == found.steps


def test_a_level_leaves_out_the_runs_that_do_not_reach_it_and_says_how_near_they_came(runs, tmp_path):
    found = match_losses(runs, tmp_path / "matched", level=0.12)
    assert found.steps == {"c": 30}
    assert found.left_out == {"a": "its lowest loss is 0.125", "b": "its lowest loss is 0.3"}
    with pytest.raises(CheckpointError, match=r"no run below .* reaches a training loss of 0.01"):
        match_losses(runs, tmp_path / "matched", level=0.01)


def test_matching_again_at_another_level_replaces_the_checkpoints(runs, tmp_path):
    match_losses(runs, tmp_path / "matched")
    match_losses(runs, tmp_path / "matched", level=1.0)
    assert {folder.name: CheckpointDir(folder).steps for folder in find_runs(tmp_path / "matched")} == {
        "a": (10,), "b": (20,), "c": (10,),
    }  # fmt: skip


def test_a_checkpoint_of_the_same_step_from_another_training_is_replaced(runs, tmp_path):
    match_losses(runs, tmp_path / "matched")
    save_checkpoint(runs / "b", linear(99), step=40, metrics={"train_loss": 0.3})
    match_losses(runs, tmp_path / "matched")
    assert CheckpointDir(tmp_path / "matched" / "b")[0].params_sha256 == CheckpointDir(runs / "b")[4].params_sha256


def test_what_lies_in_the_matched_folder_does_not_change_with_the_runs(runs, tmp_path):
    """A link shares the bytes of the file, and checkpoints are replaced, never written into."""
    match_losses(runs, tmp_path / "matched")
    before = CheckpointDir(tmp_path / "matched" / "b")[0].params_sha256
    save_checkpoint(runs / "b", linear(99), step=40, metrics={"train_loss": 0.3})
    assert CheckpointDir(tmp_path / "matched" / "b")[0].params_sha256 == before


def test_a_folder_inside_the_runs_is_refused(runs):
    for out in (runs, runs / "matched"):
        with pytest.raises(UsageError, match="lies within"):
            match_losses(runs, out)
    assert {path.name for path in runs.iterdir()} == set(LOSSES)


def test_runs_without_a_training_loss_are_named(runs, tmp_path):
    save_checkpoint(runs / "d", linear(0), step=0, metrics={"test_loss": 1.0})
    save_checkpoint(runs / "e", linear(0), step=0, metrics={"train_loss": math.nan})
    found = match_losses(runs, tmp_path / "matched")
    assert set(found.left_out) == {"d", "e"}
    assert "train_loss" in found.left_out["d"]
    with pytest.raises(CheckpointError, match="has the metric 'train_loss'"):
        match_losses(runs / "d", tmp_path / "alone")
