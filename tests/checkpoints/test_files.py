"""A checkpoint is whole or absent: a write that fails leaves the folder as it was."""

from __future__ import annotations

import errno
import os
import re
import resource
from pathlib import Path

import pytest
import torch

from landscape.checkpoints import (
    load_checkpoint,
    save_checkpoint,
)
from landscape.errors import CheckpointError
from tests.support.checkpoints import linear, make


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_write_that_fails_halfway_leaves_the_folder_as_it_was(saved):
    before, large = files_in(saved.parent), linear(100, 100)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the kernel refuses to let any file grow beyond this
    try:
        with pytest.raises(CheckpointError, match=r"cannot write step_00000007.h5 into .*untouched"):
            save_checkpoint(saved.parent, large, step=7)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert files_in(saved.parent) == before


@pytest.mark.parametrize(
    ("number", "said"), [(errno.ENOSPC, "no space left on the disk"), (errno.EROFS, "the folder is read-only")]
)
def test_a_full_disk_and_a_read_only_folder_are_named(saved, monkeypatch, number, said):
    before = files_in(saved.parent)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    for target in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, target, fail)
            with pytest.raises(CheckpointError, match=f"into {re.escape(str(saved.parent))}: {said}"):
                save_checkpoint(saved.parent, make(), step=7)
    assert files_in(saved.parent) == before


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write step_00000000.h5 into"):
        save_checkpoint(tmp_path / "file" / "run", linear(), step=0)


def test_a_file_of_the_same_step_is_replaced(saved):
    save_checkpoint(saved.parent, make(seed=9), step=7)
    assert torch.equal(load_checkpoint(saved).params()["norm.bias"], make(seed=9).norm.bias)
    assert len(list(saved.parent.iterdir())) == 1
