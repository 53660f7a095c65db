"""The .t7 files of the loss-landscape code: ``model_<epoch>.t7`` and ``opt_state_<epoch>.t7`` of torch.save."""

from __future__ import annotations

import struct

import pytest
import torch

import landscape as ls
from tests.support.foreign import STEPS, assert_same, natively, normed, train


def save(folder, model, optimizer, *, legacy: bool, without: str = ""):
    """As cifar10/main.py there does; torch of its time wrote the old format and did not count batches."""
    state = {name: tensor for name, tensor in model.state_dict().items() if not without or not name.endswith(without)}
    how = {"_use_new_zipfile_serialization": not legacy}
    torch.save({"acc": 87.5, "epoch": STEPS, "state_dict": state}, folder / f"model_{STEPS}.t7", **how)
    torch.save({"optimizer": optimizer.state_dict()}, folder / f"opt_state_{STEPS}.t7", **how)


@pytest.mark.parametrize("legacy", [True, False])
def test_a_t7_file_with_its_optimizer_gives_what_our_own_gives(legacy, tmp_path):
    problem = normed()
    model, optimizer = train(problem, torch.optim.Adam)
    folder = tmp_path / "vgg9_adam_lr=0.001_bs=128"
    folder.mkdir()
    save(folder, model, optimizer, legacy=legacy)
    native, lines = natively(tmp_path / "native", problem, model, optimizer), []
    (path,) = ls.import_checkpoint(folder, tmp_path / "out", problem=problem, say=lines.append)
    found = assert_same(path, native, problem)
    assert found.metrics == {"test_accuracy": 0.875, "epoch": STEPS}
    assert found.optimizer == "adam"


def test_counts_of_batches_that_old_files_lack_stay_at_zero_and_are_said(tmp_path):
    problem = normed()
    model, optimizer = train(problem, torch.optim.SGD, momentum=0.9)
    save(tmp_path, model, optimizer, legacy=True, without="num_batches_tracked")
    model.norm.num_batches_tracked.zero_()
    native, lines = natively(tmp_path / "native", problem, model, optimizer), []
    (path,) = ls.import_checkpoint(tmp_path / f"model_{STEPS}.t7", tmp_path / "o", problem=problem, say=lines.append)
    found = assert_same(path, native, problem, adaptive=False)
    assert "1 counts of batches (num_batches_tracked) are not in the file" in lines[0]
    assert found.optimizer == "sgd"
    momentum = found.optimizer_state()["state"]["norm.weight"]["momentum_buffer"]
    assert torch.equal(momentum, optimizer.state[model.norm.weight]["momentum_buffer"])


def test_a_file_of_torch7_for_lua_is_refused_by_what_it_is(tmp_path):
    (tmp_path / "model_1.t7").write_bytes(struct.pack("<ii", 4, 1) + b"\x03\x00\x00\x00V 1" + bytes(80))
    with pytest.raises(ls.CheckpointError, match="is of Torch7 for Lua"):
        ls.import_checkpoint(tmp_path / "model_1.t7", tmp_path / "out", problem=normed())
