"""Checkpoints that are cut, changed, foreign, too new or of another model are refused in one line."""

from __future__ import annotations

import random
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape.checkpoints import files as checkpoint_files_module
from landscape.checkpoints import (
    load_checkpoint,
    save_checkpoint,
)
from landscape.errors import CheckpointError, LandscapeError
from tests.support.checkpoints import linear, make


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_file_cut_anywhere_is_refused(saved):
    raw = saved.read_bytes()
    cut = saved.with_name("step_00000008.h5")
    rng = random.Random(0)
    for length in [0, 1, 7, 8, 100, len(raw) - 1, *(rng.randrange(len(raw)) for _ in range(40))]:
        cut.write_bytes(raw[:length])
        assert re.search("is empty|not an HDF5 file|is truncated|is damaged", refused(cut))
    cut.write_bytes(b"")
    assert "is empty" in refused(cut)
    cut.write_bytes(raw[:-1])
    assert "is truncated" in refused(cut)


def contents(path: Path) -> str:
    ckpt = load_checkpoint(path)
    fields = {key: value for key, value in vars(ckpt).items() if key not in ("path", "proof")}
    with np.printoptions(threshold=10**6):
        torch.set_printoptions(profile="full")
        try:
            return repr((fields, ckpt.params(), ckpt.buffers(), ckpt.optimizer_state(), ckpt.resume_state()))
        finally:
            torch.set_printoptions(profile="default")


def test_a_flipped_bit_anywhere_is_refused_or_changes_nothing(saved):
    raw, want = saved.read_bytes(), contents(saved)
    flipped = saved.with_name("step_00000008.h5")
    rng = random.Random(0)
    refusals = 0
    for _ in range(150):
        damaged = bytearray(raw)
        bit = rng.randrange(8 * len(raw))
        damaged[bit // 8] ^= 1 << bit % 8
        flipped.write_bytes(damaged)
        try:
            seen = contents(flipped)
        except CheckpointError:
            refusals += 1
        else:
            assert seen == want  # a byte that HDF5 does not use
    assert refusals > 75


def test_what_hdf5_changes_in_a_file_is_noticed(saved):
    """Every attribute and dataset is under the seal, and so are the names."""
    with h5py.File(saved) as file:
        items: list[tuple[str, str | None]] = [("/", key) for key in file.attrs]
        file.visititems(lambda name, node: items.extend((name, key) for key in node.attrs))
        file.visititems(lambda name, node: items.append((name, None)) if isinstance(node, h5py.Dataset) else None)
    assert len(items) > 80
    raw = saved.read_bytes()
    for name, key in items[::3]:
        with h5py.File(saved, "r+") as file:
            if key is not None:
                file[name].attrs[key] = 99
            else:
                del file[name]
        assert re.search("is damaged|is truncated", refused(saved)), (name, key)
        saved.write_bytes(raw)
    with h5py.File(saved, "r+") as file:
        file.move("params/norm.bias", "params/norm.shift")
    assert "is damaged" in refused(saved)
    saved.write_bytes(raw)
    load_checkpoint(saved)


def test_foreign_and_newer_files_are_told_apart(tmp_path, saved, monkeypatch):
    text = tmp_path / "step_00000001.h5"
    text.write_text("not a checkpoint at all")
    assert "is not an HDF5 file" in refused(text)
    foreign = tmp_path / "step_00000002.h5"
    with h5py.File(foreign, "w") as file:
        file["x"] = 1
    assert "not a checkpoint of landscape (its format is None)" in refused(foreign)
    with monkeypatch.context() as future:
        future.setattr(checkpoint_files_module, "FORMAT_VERSION", 3)
        newer = save_checkpoint(tmp_path, linear(), step=3)
    assert re.search("format version 3, and this landscape reads up to 2. Upgrade", refused(newer))
    assert "does not exist" in refused(tmp_path / "step_00000009.h5")
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: make(width=6), r"of another shape: embed.weight is 5 × 5 in the file and 6 × 6 in the model"),
        (
            lambda: nn.Sequential(linear(5, 5)),
            r"missing from the file: 0.weight, 0.bias; not in the model: scale, embed",
        ),
        (lambda: _untied(), r"missing from the file: head.weight; tied in one and not in the other: head.weight"),
    ],
)
def test_another_architecture_is_refused_and_left_as_it_was(saved, other, said):
    model = other()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(saved).load_into(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def _untied():
    model = make()
    model.head.weight = nn.Parameter(model.embed.weight.detach().clone())
    return model


def test_the_state_of_another_optimizer_is_refused(saved, tmp_path):
    ckpt, model = load_checkpoint(saved), make()
    trainable = [p for p in model.parameters() if p.requires_grad]
    with pytest.raises(CheckpointError, match="state of Adam, not of SGD"):
        ckpt.load_into(model, optimizer=torch.optim.SGD(trainable, lr=0.1))
    with pytest.raises(CheckpointError, match="other parameters or groups"):
        ckpt.load_into(model, optimizer=torch.optim.Adam(trainable[::-1]))
    with pytest.raises(CheckpointError, match="no learning rate schedule"):
        ckpt.load_into(model, scheduler=object())
    bare = load_checkpoint(save_checkpoint(tmp_path / "bare", model, step=0))
    with pytest.raises(CheckpointError, match="no optimizer state"):
        bare.load_into(model, optimizer=torch.optim.Adam(trainable))
    assert bare.optimizer_state() is bare.resume_state() is bare.scheduler_state() is None


def test_a_problem_the_file_names_is_looked_up_and_never_imported(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap_for_test.py").write_text("raise SystemExit('imported')")
    path = save_checkpoint(tmp_path, linear(), step=0, problem="trap_for_test:factory")
    with pytest.raises(CheckpointError, match=r"not a registered problem .*--problem trap_for_test:factory"):
        load_checkpoint(path).objective()
    nameless = load_checkpoint(save_checkpoint(tmp_path, linear(), step=1))
    with pytest.raises(CheckpointError, match="does not say what it was trained on"):
        nameless.model()
    assert nameless.find_problem("quadratic").name == "quadratic"


def test_every_error_of_a_checkpoint_is_a_landscape_error():
    assert issubclass(CheckpointError, LandscapeError)
