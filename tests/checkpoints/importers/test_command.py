"""``landscape import`` and ``landscape inspect`` on files of other libraries."""

from __future__ import annotations

import argparse

import pytest
import torch

import landscape as ls
from tests.support.command_line import call
from tests.support.foreign import STEPS, Evil, assert_same, digits, natively, train

PROBLEM = ["--problem", "mlp-digits", "--problem-config", '{"hidden": [6], "num_train": 50}']


@pytest.fixture
def run(tmp_path):
    """A model with its optimizer, and the file of a training script."""
    problem = digits()
    model, optimizer = train(problem)
    content = {"net": {f"module.{k}": v for k, v in model.state_dict().items()}, "optimizer": optimizer.state_dict()}
    torch.save(content | {"epoch": STEPS}, tmp_path / "ckpt.pt")
    return problem, model, optimizer, tmp_path / "ckpt.pt"


def test_a_file_is_converted_and_what_was_found_is_said(run, tmp_path, capsys, monkeypatch):
    problem, model, optimizer, source = run
    options = ["--config", "label=mine", "--config", "seed=3"]
    status, out, err = call(capsys, monkeypatch, "import", source, tmp_path / "out", *PROBLEM, *options)
    assert (status, err) == (0, "")
    assert "prefix 'module.' taken off all names" in out
    assert f"now: landscape analyze {tmp_path / 'out'}" in out
    native = natively(tmp_path / "native", problem, model, optimizer)
    found = assert_same(tmp_path / "out" / f"step_{STEPS:08d}.h5", native, problem)
    assert (found.config["label"], found.seed, found.problem) == ("mine", 3, "mlp-digits")


def test_several_files_become_one_run_and_several_folders_several(run, tmp_path, capsys, monkeypatch):
    _, model, _, _ = run
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for step in (1, 2):
            torch.save(model.state_dict(), tmp_path / name / f"step{step}.pt")
    files = sorted((tmp_path / "a").iterdir())
    status, out, _ = call(capsys, monkeypatch, "import", *files, tmp_path / "one", *PROBLEM)
    assert (status, len(list((tmp_path / "one").glob("step_*.h5")))) == (0, 2)
    status, out, _ = call(capsys, monkeypatch, "import", tmp_path / "a", tmp_path / "b", tmp_path / "two", *PROBLEM)
    assert status == 0
    assert sorted(p.relative_to(tmp_path / "two").as_posix() for p in (tmp_path / "two").rglob("*.h5")) == [
        "a/step_00000001.h5", "a/step_00000002.h5", "b/step_00000001.h5", "b/step_00000002.h5"
    ]  # fmt: skip
    assert "4 checkpoints" in out


def test_of_a_folder_what_cannot_be_used_is_said_and_the_rest_converted(run, tmp_path, capsys, monkeypatch):
    _, model, _, source = run
    (tmp_path / "runs").mkdir()
    source.rename(tmp_path / "runs" / "good.pt")
    torch.save({"model": model.state_dict(), "step": 9, "x": Evil(tmp_path / "made")}, tmp_path / "runs" / "evil.pt")
    status, out, err = call(capsys, monkeypatch, "import", tmp_path / "runs", tmp_path / "out", *PROBLEM)
    assert (status, err) == (1, "")
    assert "not imported: " in out
    assert "would run posix.mkdir" in out
    assert len(list((tmp_path / "out").glob("step_*.h5"))) == 1
    assert not (tmp_path / "made").exists()
    with pytest.warns(UserWarning, match="not imported: .*evil.pt would run"):
        ls.import_checkpoint(tmp_path / "runs", tmp_path / "again", problem=digits())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{source}"], "name one or more files or folders, and then the folder"),
        (["{source}", "{source}", *PROBLEM], "is a file; name a folder"),
        (["{source}", "out"], "say whose model it is, a registered problem or your own: landscape import"),
        (["{source}", "out", *PROBLEM, "--problem-config", "{"], "--problem-config is no JSON"),
        (["{source}", "out", *PROBLEM, "--rename", "fc1"], "'fc1': expected NAME=VALUE"),
        (
            ["{source}", "out", "--problem", "lenet-digits"],
            "does not fit this LeNet5: the model has and the file lacks",
        ),
        (["{folder}", "out", *PROBLEM], "holds no file of a known format"),
        (["{source}", "out", *PROBLEM, "--step", "-1"], "step=-1 must be a whole number of at least 0"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(arguments, said, run, tmp_path, capsys, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    here = {"{source}": run[3], "{folder}": tmp_path / "folder"}
    filled = [here.get(part, part) for part in arguments]
    status, out, err = call(capsys, monkeypatch, "import", *filled)
    assert (status, out) == (2, "")
    assert err.startswith("landscape: ")
    assert err.count("\n") == 1
    assert said in err
    assert not (tmp_path / "out").exists()


def test_inspect_says_what_is_in_a_file_and_what_to_type_next(run, tmp_path, capsys, monkeypatch):
    source = run[3]
    status, out, err = call(capsys, monkeypatch, "inspect", source)
    assert (status, err) == (0, "")
    lines = {line.strip().partition("  ")[0]: line.strip().partition("  ")[2].strip() for line in out.splitlines()}
    assert lines["format"] == "PyTorch training dictionary"
    assert lines["step"].startswith(f"{STEPS} (its step, {STEPS}, is counted by its optimizer)")
    assert lines["tensors"] == "460 numbers in 4 tensors"
    assert lines["module.fc1.weight"] == "6 × 64, float32"
    assert lines["optimizer state"] == "exp_avg, exp_avg_sq, step for 4 tensors in 1 group"
    assert lines["next"].startswith(f"landscape import {source} DST --problem pkg.mod:factory, then")


def test_inspect_of_a_file_that_it_will_not_load_is_one_line(run, tmp_path, capsys, monkeypatch):
    torch.save({"model": run[1].state_dict(), "args": argparse.Namespace(lr=1)}, tmp_path / "a.pt")
    status, out, err = call(capsys, monkeypatch, "inspect", tmp_path / "a.pt")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "--allow argparse.Namespace" in err
    status, out, err = call(capsys, monkeypatch, "inspect", tmp_path / "a.pt", "--allow", "argparse.Namespace")
    assert (status, err) == (0, "")
    assert "--step N --allow argparse.Namespace" in out
    status, out, err = call(capsys, monkeypatch, "inspect", tmp_path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "files of other libraries (2 .pt)" in err


@pytest.mark.parametrize("command", ["analyze", "crosscheck"])
def test_whoever_hands_such_a_file_to_another_command_is_told_what_to_type(run, capsys, monkeypatch, command):
    *_, source = run
    status, _, error = call(capsys, monkeypatch, command, source, "--problem", "mlp-digits")
    assert status == 2
    assert f"landscape import {source} DST --problem" in error
    assert len(error.splitlines()) == 1
