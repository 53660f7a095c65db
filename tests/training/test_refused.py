"""What goes wrong in a training is one line and an exit status, and leaves the checkpoints that are good."""

from __future__ import annotations

import re

import pytest
import torch

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.training import training_settings
from tests.support.trainings import run, script, small


def test_a_diverging_run_says_so_exits_1_and_leaves_good_checkpoints(tmp_path, capsys):
    config = '{"hidden": [6], "num_train": 50, "loss": "mse", "activation": "relu"}'
    status = run(tmp_path, "--problem-config", config, "--lr", "1e6", "--epochs", "20", "--save-every", "1")
    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert "diverged: the loss is" in error
    assert "lr=1e+06" in error
    good, bad = CheckpointDir(tmp_path).usable()
    assert not bad
    assert good[0].step == 0
    assert all(torch.isfinite(c.theta()).all() and c.metrics["train_loss"] < float("inf") for c in good)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name what to train on"),
        (["--problem", "lenet"], "unknown problem 'lenet'"),
        (["--problem", "quadratic", "--optimizer", "lyon"], "optimizer='lyon'"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "betas=high"], "betas='high' does not fit"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "betas"], "betas: expected KEY=VALUE"),
        (["--problem", "quadratic", "--optimizer", "adam", "--opt", "beta=0.9"], "no option 'beta'"),
        (["--problem", "quadratic", "--schedule", "warm"], "schedule='warm'"),
        (
            ["--problem", "quadratic", "--order", "blocks", "--order-opt", "blocks=9", "--epochs", "4"],
            "blocks=9 is more",
        ),
        (["--problem", "quadratic", "--order", "blocks", "--order-opt", "first=3"], "first=3 must be one of the 2"),
        (["--problem", "quadratic", "--adversary", "l1"], "adversary='l1'"),
        (["--problem", "quadratic", "--adversary", "l2", "--adversary-opt", "radius=0"], "radius=0"),
        (["--problem", "quadratic", "--adversary", "l2", "--adversary-opt", "step=2"], "no option 'step'"),
        (["--problem", "quadratic", "--adversary-opt", "radius=1"], "need an adversary"),
        (["--problem", "quadratic", "--lr", "-1"], "lr=-1.0"),
        (["--problem", "quadratic", "--epochs", "0"], "epochs=0"),
        (["--problem", "quadratic", "--save-every", "0"], "save_every=0"),
        (["--problem", "quadratic", "--save-last", "-1"], "save_last=-1"),
        (["--problem", "quadratic", "--optimizer", "sgd", "--batch-size", "0"], "batch_size=0"),
    ],
)
def test_bad_usage_is_one_line_and_exit_status_2_and_leaves_no_folder(tmp_path, capsys, arguments, said):
    assert script.main(["--out", str(tmp_path / "run"), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "run").exists()


def test_a_diverging_run_stops_at_once_and_not_at_the_next_save(tmp_path, capsys):
    config = '{"hidden": [6], "num_train": 50, "loss": "mse", "activation": "relu"}'
    assert run(tmp_path, "--problem-config", config, "--lr", "1e6", "--epochs", "50", "--save-every", "1000") == 1
    steps = int(re.search(r"after (\d+) steps", capsys.readouterr().err)[1])
    assert steps < 20
    assert CheckpointDir(tmp_path).steps == (0,)


def test_an_unknown_setting_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="unknown setting 'learning_rate'; there are problem, .*save_last"):
        training_settings(small(), {"learning_rate": 1})


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert run(tmp_path / "file" / "run", "--epochs", "1") == 2
    assert "cannot write into" in capsys.readouterr().err
