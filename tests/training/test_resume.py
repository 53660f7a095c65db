"""A run that was stopped goes on bit for bit, whatever its schedule and optimizer, and with no other settings."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import CheckpointDir, checkpoint_files, save_checkpoint
from landscape.optimizers import FULL_BATCH, OPTIMIZERS
from landscape.problems import Problem
from landscape.training import train
from tests.support.trainings import everything, run, script, small

SCHEDULES = {
    "adam + cosine": ["--optimizer", "adam", "--lr", "0.01", "--schedule", "cosine"],
    "momentum + step": [
        *("--optimizer", "momentum", "--opt", "momentum=0.8"),
        *("--schedule", "step", "--schedule-opt", "drops=3"),
    ],
    "rmsprop + polynomial": ["--optimizer", "rmsprop", "--schedule", "polynomial"],
}


@pytest.fixture(scope="module", params=SCHEDULES)
def whole(request, tmp_path_factory):
    """A run that nothing stopped, and all it says."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    options = [*SCHEDULES[request.param], "--epochs", "5", "--save-every", "3", "--save-last", "4", "--seed", "3"]
    assert run(folder, *options) == 0
    return folder, everything(folder)


@pytest.mark.parametrize("kept", [0, 3, 7, 18])
def test_a_run_stopped_anywhere_goes_on_bit_for_bit(tmp_path, whole, kept):
    folder, expected = whole
    assert CheckpointDir(folder).steps == (0, 3, 6, 9, 12, 15, 17, 18, 19, 20)
    shutil.copytree(folder, tmp_path / "stopped")
    for step, file in checkpoint_files(tmp_path / "stopped").items():
        if step > kept:
            file.unlink()
    (tmp_path / "stopped" / ".step_00000019.h5.7-ff.tmp").write_bytes(b"half")
    assert script.main(["--out", str(tmp_path / "stopped"), "--resume"]) == 0
    assert everything(tmp_path / "stopped") == expected
    assert not list((tmp_path / "stopped").glob(".step*"))


def test_a_damaged_last_checkpoint_is_passed_over_and_made_again(tmp_path):
    run(tmp_path / "whole", "--epochs", "3")
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    last = CheckpointDir(tmp_path / "damaged").files[-1]
    last.write_bytes(last.read_bytes()[:-100])
    assert script.main(["--out", str(tmp_path / "damaged"), "--resume"]) == 0
    assert everything(tmp_path / "damaged") == everything(tmp_path / "whole")


def test_a_longer_run_at_a_constant_rate_is_the_same_as_one_planned_so(tmp_path):
    run(tmp_path / "planned", "--epochs", "4")
    run(tmp_path / "longer", "--epochs", "2")
    assert script.main(["--out", str(tmp_path / "longer"), "--resume", "--epochs", "4"]) == 0
    planned, longer = (CheckpointDir(tmp_path / name) for name in ("planned", "longer"))
    assert [c.params_sha256 for c in planned] == [c.params_sha256 for c in longer]


def test_random_layers_draw_the_same_numbers_after_a_resume(tmp_path):
    base = small()
    problem = Problem(
        build=lambda: nn.Sequential(
            nn.Flatten(), nn.Linear(64, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 10)
        ),
        loss_fn=base.loss_fn,
        loss_name="cross_entropy",
        train=base.train,
        test=base.test,
        num_classes=10,
        name="own",
    )
    settings = {"optimizer": "adam", "lr": 0.01, "epochs": 4, "batch_size": 16, "save_every": 3}
    whole = train(problem, tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[2:]:
        file.unlink()
    resumed = train(problem, tmp_path / "stopped", resume=True)
    assert resumed.params_sha256 == whole.params_sha256
    for name, buffer in whole.buffers().items():
        assert torch.equal(resumed.buffers()[name], buffer)
    again = train(problem, tmp_path / "other", **settings | {"seed": 1})
    assert again.params_sha256 != whole.params_sha256


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (["--lr", "0.3"], "lr was 0.1, asked for is 0.3"),
        (["--optimizer", "adam"], "optimizer was 'sgd', asked for is 'adam'"),
        (["--seed", "1"], "seed was 0, asked for is 1"),
        (["--batch-size", "10"], "batch_size was 16, asked for is 10"),
        (["--epochs", "1"], "epochs was 2, asked for is 1"),
        (["--schedule", "cosine"], "schedule was 'constant', asked for is 'cosine'"),
        (["--problem", "mlp-digits", "--problem-config", '{"hidden": [7], "num_train": 50}'], r"\[6\].*\[7\]"),
    ],
)
def test_a_resume_with_other_settings_is_refused_by_name(tmp_path, capsys, changed, said):
    run(tmp_path, "--epochs", "2")
    before = everything(tmp_path)
    assert script.main(["--out", str(tmp_path), "--resume", *changed]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(said, error)
    assert everything(tmp_path) == before


def test_a_folder_with_a_run_is_not_written_into(tmp_path, capsys):
    run(tmp_path, "--epochs", "1")
    before = everything(tmp_path)
    assert run(tmp_path, "--epochs", "1") == 2
    assert "already holds a run of 2 checkpoints" in capsys.readouterr().err
    assert everything(tmp_path) == before
    assert script.main(["--out", str(tmp_path), "--resume"]) == 0  # nothing left to do
    for file in CheckpointDir(tmp_path).files:
        file.write_bytes(b"")
    assert script.main(["--out", str(tmp_path), "--resume"]) == 2
    assert "can be resumed" in capsys.readouterr().err


def test_resume_in_an_empty_folder_begins_from_the_start(tmp_path):
    assert run(tmp_path / "fresh", "--epochs", "1", "--resume") == 0
    assert run(tmp_path / "plain", "--epochs", "1") == 0
    assert everything(tmp_path / "fresh") == everything(tmp_path / "plain")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_with_any_optimizer_goes_on_bit_for_bit(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "epochs": 12 if optimizer in FULL_BATCH else 3, "save_every": 3}
    settings |= {} if optimizer in FULL_BATCH else {"batch_size": 16}
    train(small(), tmp_path / "whole", **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[2:]:
        file.unlink()
    train(small(), tmp_path / "stopped", resume=True)
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")
    history, again = (CheckpointDir(tmp_path / name).history() for name in ("whole", "stopped"))
    assert all(np.array_equal(history[name], again[name]) for name in ("step", "loss", "step_size"))


def test_a_checkpoint_of_another_script_is_not_resumed(tmp_path, capsys):
    problem = small()
    save_checkpoint(tmp_path, problem.make_model(0), step=3, problem=problem)
    assert script.main(["--out", str(tmp_path), "--resume"]) == 2
    assert "not saved by scripts/train.py" in capsys.readouterr().err
