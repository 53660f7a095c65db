"""Whatever lies under the name of a surface is read as it is or refused by one error of ours: no crash, no hang."""

from __future__ import annotations

import os

import h5py
import numpy as np
import pytest

import landscape as ls
from landscape.errors import ResultsError
from tests.support import original_code
from tests.support.crafting import TRICKS
from tests.support.stores import identical

X = np.linspace(-1, 1, 9)
EXPECTED = X**2 + 1


@pytest.fixture
def path(tmp_path):
    return original_code.surface(tmp_path / "a.h5", lambda x, y: (x**2 + 1, 50.0), X)


@pytest.mark.parametrize("name", TRICKS)
def test_what_hdf5_can_do_leads_nowhere_else(tmp_path, path, name):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\1" * 800)
    with h5py.File(path, "r+") as f:
        TRICKS[name](f.create_group("more"), secret)
    try:
        read = ls.read_surface(path)
    except ResultsError:
        return
    assert read.loss.tolist() == EXPECTED.tolist()
    assert read.metric_names == ("accuracy",)


@pytest.mark.parametrize("where", ["external", "link"])
def test_a_loss_that_stands_in_another_file_is_not_fetched(tmp_path, path, where):
    np.full(9, 7.0).tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "other.h5", "w") as f:
        f["train_loss"] = np.full(9, 7.0)
    with h5py.File(path, "r+") as f:
        del f["train_loss"]
        if where == "external":
            f.create_dataset("train_loss", shape=(9,), dtype="f8", external=[(str(tmp_path / "secret.bin"), 0, 72)])
        else:
            f["train_loss"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/train_loss")
    with pytest.raises(ResultsError, match="(stand in another file|has no 'train_loss')"):
        ls.read_surface(path)


def test_more_values_than_bytes_are_refused(path):
    with h5py.File(path, "r+") as f:
        f.create_dataset("test_loss", shape=(2 * 10**8,), dtype="f8", chunks=(10**6,), compression="gzip")
    with pytest.raises(ResultsError, match="far more values than bytes"):
        ls.read_surface(path)


def test_a_fifo_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.h5")
    with pytest.raises(ResultsError, match="is a FIFO, not a file"):
        ls.read_surface(tmp_path / "a.h5")


@pytest.mark.parametrize("share", [0.2, 0.9, 0.99])
def test_a_file_that_was_cut_off_is_refused(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ResultsError, match="damaged and cannot be read"):
        ls.read_surface(path)


@pytest.mark.parametrize("count", [6, pytest.param(40, marks=pytest.mark.slow)])
def test_a_damaged_block_is_refused_or_changes_a_value_or_nothing(path, count):
    """There is no checksum in such a file, so a value may change; the kind of error and the shape may not."""
    content, rng = path.read_bytes(), np.random.default_rng(count)
    whole, outcomes = ls.read_surface(path), set()
    for _ in range(count):
        at, size = int(rng.integers(0, len(content))), int(rng.integers(1, 9))
        path.write_bytes(content[:at] + rng.bytes(size) + content[at + size :])
        try:
            read = ls.read_surface(path)
        except ResultsError:
            outcomes.add("refused")
        else:
            outcomes.add("same" if identical(read, whole) else "changed")
            assert read.loss.ndim == 1
    assert "same" in outcomes
