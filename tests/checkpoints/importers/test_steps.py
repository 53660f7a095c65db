"""The step of a checkpoint: from inside, from its name, or from who imports it; never two at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import landscape as ls
from landscape.checkpoints.importers.foreign import Foreign
from landscape.checkpoints.importers.steps import settle
from tests.support.foreign import digits, train

NAMES = {
    "model_step1000.pth": 1000, "step_0012.pt": 12, "checkpoint-500": 500, "epoch=4-step=500.ckpt": 500,
    "iter_200.pt": 200, "global_step7.pt": 7, "epoch_12.pt": 12, "ep-3.pt": 3, "model_300.t7": 300, "500.pt": 500,
    "checkpoint_9.pth.tar": 9, "weights-e5-iter40.pt": 40, "stepper_8.pt": 8,
    "resnet18.pt": None, "gpt2.safetensors": None, "best.pt": None, "model.pt": None, f"m_{'9' * 40}.pt": None,
}  # fmt: skip


def foreign(name="m.pt", **facts):
    return Foreign(Path(name), "test", {}, **facts)


@pytest.mark.parametrize("name", NAMES)
def test_steps_and_epochs_are_read_from_names_and_digits_of_words_are_not(name):
    if NAMES[name] is None:
        with pytest.raises(ls.CheckpointError, match="name it with --step N"):
            settle(foreign(name), None)
    else:
        assert settle(foreign(name), None)[0] == NAMES[name]


def test_what_counts_steps_goes_before_what_counts_epochs_and_that_is_said():
    adam = {"state": {0: {"step": torch.tensor(40.0)}, 1: {"step": torch.tensor(40.0)}}}
    assert settle(foreign("epoch_2.pt", steps={"inside": 30}, optimizer=adam, epoch=2), None) == (30, None)
    assert settle(foreign("step_20.pt", optimizer=adam, epoch=2), None) == (20, None)
    step, said = settle(foreign("epoch_2.pt", optimizer=adam, epoch=2), None)
    assert (step, said) == (40, "its step, 40, is counted by its optimizer")
    step, said = settle(foreign("epoch_3.pt", epoch=2), None)
    assert (step, said) == (2, "it does not say its steps; its epoch, 2, stands for them")
    uneven = {"state": {0: {"step": 1}, 1: {"step": 2}}}
    assert settle(foreign("m_5.pt", optimizer=uneven), None)[0] == 5


def test_two_steps_are_an_error_until_one_is_named():
    twice = foreign("step_20.pt", steps={"'step' inside": 30})
    with pytest.raises(ls.CheckpointError, match=r"says two steps: 30 by 'step' inside, 20 by its name step_20.pt"):
        settle(twice, None)
    assert settle(twice, 20)[0] == 20
    with pytest.raises(ls.CheckpointError, match=r"--step 25 contradicts 30 by 'step' inside"):
        settle(twice, 25)
    assert settle(foreign("epoch_2.pt", epoch=2), 800)[0] == 800


def test_a_step_that_is_none_is_refused_and_one_is_not_given_to_many(tmp_path):
    problem = digits()
    model, _ = train(problem)
    for i in (1, 2):
        torch.save(model.state_dict(), tmp_path / f"m_{i}.pt")
    for step in (-1, True, 0.5, "a"):
        with pytest.raises(ls.UsageError, match=f"step={step!r} must be a whole number of at least 0"):
            ls.import_checkpoint(tmp_path / "m_1.pt", tmp_path / "out", problem=problem, step=step)
    with pytest.raises(ls.UsageError, match="step=3 is that of one checkpoint, and there are 2"):
        ls.import_checkpoint(tmp_path, tmp_path / "out", problem=problem, step=3)


def test_two_checkpoints_of_one_step_are_refused_unless_they_are_the_same(tmp_path):
    problem = digits()
    model, _ = train(problem)
    other, _ = train(problem, steps=1)
    torch.save({"model": model.state_dict(), "step": 5}, tmp_path / "a.pt")
    torch.save({"model": model.state_dict(), "step": 5, "more": 1}, tmp_path / "b.pt")
    (a,) = ls.import_checkpoint(tmp_path / "a.pt", tmp_path / "out", problem=problem)
    before = a.read_bytes()
    assert ls.import_checkpoint(tmp_path / "b.pt", tmp_path / "out", problem=problem) == [a]
    torch.save({"model": other.state_dict(), "step": 5}, tmp_path / "c.pt")
    with pytest.raises(ls.CheckpointError, match=r"c.pt is of step 5, as is .*, made of .*a.pt, and has other"):
        ls.import_checkpoint(tmp_path / "c.pt", tmp_path / "out", problem=problem)
    assert a.read_bytes() == before


def test_a_file_without_a_step_that_is_a_copy_of_another_is_that_one(tmp_path):
    """``best.pt`` beside the epochs; one that is no copy is named, and does not stop the others."""
    problem = digits()
    (tmp_path / "run").mkdir()
    for step in (1, 2):
        model, _ = train(problem, steps=step)
        torch.save({"model": model.state_dict(), "step": step}, tmp_path / "run" / f"c{step}.pt")
    torch.save(model.state_dict(), tmp_path / "run" / "best.pt")
    lines = []
    files = ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem, say=lines.append)
    assert [file.name for file in files] == ["step_00000001.h5", "step_00000002.h5"]
    assert lines[-1].endswith(f"the same parameters are in {files[1]} already")
    torch.save(train(problem, steps=5)[0].state_dict(), tmp_path / "run" / "best.pt")
    assert ls.import_checkpoint(tmp_path / "run", tmp_path / "out", problem=problem, say=lines.append) == files
    assert lines[-1].startswith("not imported: ")
