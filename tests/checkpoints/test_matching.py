"""Runs at equal training loss: of each the two checkpoints between which it passes one that most runs reach."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

import landscape as ls
from landscape.checkpoints import CheckpointDir, find_runs, match_losses, save_checkpoint
from landscape.checkpoints.losses import LossMeter
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


def test_each_run_is_bracketed_by_its_first_checkpoint_as_low_as_the_highest_of_the_lowest_and_the_one_before(
    runs, tmp_path
):
    found = match_losses(runs, tmp_path / "matched")
    assert found.level == 0.3
    assert found.steps == {"a": 30, "b": 40, "c": 10}
    assert found.losses == {"a": 0.25, "b": 0.3, "c": 0.2}
    assert {run: b[0]["step_above"] for run, b in found.brackets.items()} == {"a": 20, "b": 30, "c": 0}
    assert {run: b[0]["loss_above"] for run, b in found.brackets.items()} == {"a": 0.5, "b": 0.4, "c": 2.0}
    assert found.spread == pytest.approx(1.5)
    assert found.wide == pytest.approx({"c": 10.0})
    for name, brackets in found.brackets.items():
        placed = CheckpointDir(tmp_path / "matched" / name)
        assert placed.steps == (brackets[0]["step_above"], brackets[0]["step_below"])
        for checkpoint in placed:
            assert checkpoint.params_sha256 == CheckpointDir(runs / name)[checkpoint.step // 10].params_sha256
    assert len(find_runs(runs)) == 3
    written = json.loads((tmp_path / "matched" / "matching.json").read_text())
    assert (written["level"], written["steps"], written["brackets"]) == (0.3, found.steps, found.brackets)


def test_several_levels_take_the_checkpoints_around_each(runs, tmp_path):
    """From 0.3 up to 2, where all runs begin: 0.3, and half way in logarithms √0.6 = 0.775."""
    found = match_losses(runs, tmp_path / "matched", levels=2)
    assert found.levels == pytest.approx([0.3, 0.6**0.5])
    assert {run: CheckpointDir(tmp_path / "matched" / run).steps for run in LOSSES} == {
        "a": (10, 20, 30), "b": (20, 30, 40), "c": (0, 10),
    }  # fmt: skip


def test_one_run_in_five_that_stays_high_does_not_set_the_level(tmp_path):
    for seed in range(5):
        for index, loss in enumerate([2.0, 1.5] if seed == 3 else [2.0, 0.5, 0.1]):
            save_checkpoint(tmp_path / "runs" / f"s{seed}", linear(index), step=index, metrics={"train_loss": loss})
    found = match_losses(tmp_path / "runs", tmp_path / "matched")
    assert found.level == 0.1
    assert found.left_out == {"s3": "its lowest loss is 1.5"}


def test_arms_are_told_apart_by_their_labels(tmp_path):
    """Four of ten runs stay high: two in each arm they would set the level, as one arm of five they do not."""
    for arm in "abcde":
        for seed in (0, 1):
            for index, loss in enumerate([2.0, 1.5] if arm == "e" else [2.0, 0.5, 0.1]):
                save_checkpoint(tmp_path / "runs" / f"{arm}{seed}", linear(index), step=index, config={"label": arm},
                                metrics={"train_loss": loss})  # fmt: skip
    found = match_losses(tmp_path / "runs", tmp_path / "matched")
    assert found.level == 0.1
    assert set(found.left_out) == {"e0", "e1"}


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
        "a": (0, 10), "b": (10, 20), "c": (0, 10),
    }  # fmt: skip


def test_a_checkpoint_of_the_same_step_from_another_training_is_replaced(runs, tmp_path):
    match_losses(runs, tmp_path / "matched")
    save_checkpoint(runs / "b", linear(99), step=40, metrics={"train_loss": 0.3})
    match_losses(runs, tmp_path / "matched")
    assert CheckpointDir(tmp_path / "matched" / "b")[1].params_sha256 == CheckpointDir(runs / "b")[4].params_sha256


def test_what_lies_in_the_matched_folder_does_not_change_with_the_runs(runs, tmp_path):
    """A link shares the bytes of the file, and checkpoints are replaced, never written into."""
    match_losses(runs, tmp_path / "matched")
    before = CheckpointDir(tmp_path / "matched" / "b")[1].params_sha256
    save_checkpoint(runs / "b", linear(99), step=40, metrics={"train_loss": 0.3})
    assert CheckpointDir(tmp_path / "matched" / "b")[1].params_sha256 == before


def test_checkpoints_of_a_run_that_is_left_out_now_are_gone(runs, tmp_path):
    match_losses(runs, tmp_path / "matched")
    match_losses(runs, tmp_path / "matched", level=0.12)
    assert [folder.name for folder in find_runs(tmp_path / "matched")] == ["c"]


def test_a_run_that_begins_below_the_level_is_named(runs, tmp_path):
    save_checkpoint(runs / "d", linear(0), step=0, metrics={"train_loss": 0.05})
    found = match_losses(runs, tmp_path / "matched", level=0.3)
    assert found.left_out == {"d": "its first loss, 0.05, is lower already"}


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


# --- losses that are measured -----------------------------------------------------------------------------------------

QUADRATIC = ls.get_problem("quadratic", {"eigenvalues": [1.0], "num_examples": 16, "noise": 0.0})


def at(loss: float) -> torch.nn.Module:
    """The model at a distance of √(2·loss) from the minimum of ½·(w − w*)²."""
    model, (x, y) = QUADRATIC.make_model(0), QUADRATIC.train
    with torch.no_grad():
        model.w.fill_(float((x * y).sum() / (x * x).sum()) + math.sqrt(2 * loss))
    return model


def true_loss(loss: float) -> float:
    """In float64, by the problem's own loss function: what ``at(loss)`` has."""
    model = at(loss).double()
    inputs, targets = (t.double() if t.is_floating_point() else t for t in QUADRATIC.train)
    return float(QUADRATIC.loss_fn(model(inputs), targets).detach())


@pytest.fixture
def measurable(tmp_path):
    """Saves a run whose checkpoints have the losses given, with the metrics given beside them."""

    def save(name, losses, saved):
        for index, (loss, told) in enumerate(zip(losses, saved, strict=True)):
            metrics = {} if told is None else {"train_loss": told}
            save_checkpoint(tmp_path / "runs" / name, at(loss), step=10 * index, problem=QUADRATIC, metrics=metrics)
        return tmp_path / "runs"

    return save


@pytest.fixture
def passes(monkeypatch):
    """Where a loss was measured, in order."""
    seen, original = [], LossMeter.__call__

    def spy(self, checkpoint):
        seen.append((checkpoint.path.parent.name, checkpoint.step))
        return original(self, checkpoint)

    monkeypatch.setattr(LossMeter, "__call__", spy)
    return seen


def test_the_losses_of_the_fixture_are_what_they_say():
    for loss in (2.0, 0.3, 1e-4):
        assert true_loss(loss) == pytest.approx(loss, rel=1e-6)


def test_right_saved_losses_cost_at_most_three_passes_in_a_run(measurable, passes, tmp_path):
    falling = [2.0 * 0.8**i for i in range(20)]
    for name in ("a", "b"):
        root = measurable(name, falling if name == "a" else falling[:12], falling if name == "a" else falling[:12])
    found = match_losses(root, tmp_path / "matched")
    assert found.steps == {"a": 110, "b": 110}
    assert found.losses == pytest.approx({"a": falling[11], "b": falling[11]}, rel=1e-5)
    assert found.saved == found.wrong == {}
    assert sorted(passes) == [("a", 100), ("a", 110), ("a", 190), ("b", 100), ("b", 110)]


def test_a_run_whose_saved_losses_are_wrong_stands_where_its_parameters_do(measurable, passes, tmp_path):
    losses = [2.0, 1.0, 0.5, 0.25]
    measurable("honest", losses, losses)
    root = measurable("liar", losses, [123, 0.2, 123, 0.1])  # by its word it is at 0.25 after one step
    found = match_losses(root, tmp_path / "matched")
    assert found.steps == {"honest": 30, "liar": 30}
    assert found.losses["liar"] == pytest.approx(0.25, rel=1e-5)
    assert set(found.wrong) == {"liar"}
    assert "at step 10 0.2 was saved and 1 measured" in found.wrong["liar"]
    assert {step for run, step in passes if run == "liar"} == {0, 10, 20, 30}
    facts = json.loads((tmp_path / "matched" / "matching.json").read_text())
    assert facts["wrong"] == found.wrong


def test_a_saved_loss_that_hides_an_earlier_crossing_is_found_before_the_chosen(measurable, tmp_path):
    """Only the checkpoint before the chosen is wrong: it already has the loss that is looked for."""
    root = measurable("a", [2.0, 0.4, 0.4, 0.1], [2.0, 1.5, 0.4, 0.1])
    found = match_losses(root, tmp_path / "matched", level=0.5)
    assert found.steps == {"a": 10}
    assert "1.5 was saved and 0.4 measured" in found.wrong["a"]


def test_losses_in_another_scale_are_not_losses_of_the_objective(measurable, tmp_path):
    """A sum over 16 examples in place of their mean, in one of the runs."""
    losses = [2.0, 1.0, 0.5, 0.25]
    measurable("mean", losses, losses)
    root = measurable("sum", losses, [16 * loss for loss in losses])
    assert match_losses(root, tmp_path / "matched").steps == {"mean": 30, "sum": 30}
    with pytest.raises(CheckpointError, match=r"no training loss lies between .* \(mean: 0.25 to 2; sum: 4 to 32\)"):
        match_losses(root, tmp_path / "by_word", losses="saved")


def test_checkpoints_without_a_saved_loss_are_measured(measurable, tmp_path):
    measurable("told", [1.0, 0.3], [1.0, 0.3])
    root = measurable("silent", [1.0, 0.25, 0.2], [None, None, None])
    found = match_losses(root, tmp_path / "matched")
    assert found.steps == {"told": 10, "silent": 10}
    assert found.losses == pytest.approx({"told": 0.3, "silent": 0.25}, rel=1e-5)
    with pytest.raises(CheckpointError, match="has the metric 'train_loss'"):
        match_losses(root / "silent", tmp_path / "word", losses="saved")


def test_how_losses_are_come_by_can_be_chosen(measurable, passes, tmp_path):
    losses = [2.0, 1.0, 0.5, 0.25]
    root = measurable("a", losses, losses)
    match_losses(root, tmp_path / "one", losses="saved")
    assert passes == []
    assert match_losses(root, tmp_path / "two", losses="measured").steps == {"a": 30}
    assert len(passes) == 4
    with pytest.raises(UsageError, match="losses='guessed' is not one of"):
        match_losses(root, tmp_path / "three", losses="guessed")


def test_saved_losses_are_used_where_the_problem_is_unknown_and_that_is_said(runs, tmp_path):
    found = match_losses(runs, tmp_path / "matched")
    assert set(found.saved) == set(LOSSES)
    assert all("does not say what it was trained on" in why for why in found.saved.values())


def test_the_problem_can_be_named(tmp_path):
    for index, loss in enumerate([2.0, 0.5]):
        save_checkpoint(tmp_path / "runs" / "a", at(loss), step=index, metrics={"train_loss": 9.0})
    found = match_losses(tmp_path / "runs", tmp_path / "matched", problem=QUADRATIC)
    assert found.losses == pytest.approx({"a": 0.5}, rel=1e-5)
    assert "9 was saved" in found.wrong["a"]


def test_a_model_that_fails_leaves_the_saved_losses_with_its_reason(measurable, tmp_path):
    def broken(output, target):
        raise ValueError("no such thing")

    root = measurable("a", [2.0, 0.5], [2.0, 0.5])
    found = match_losses(root, tmp_path / "matched", problem=dataclasses.replace(QUADRATIC, loss_fn=broken))
    assert found.losses == {"a": 0.5}
    assert "ValueError: no such thing" in found.saved["a"]
