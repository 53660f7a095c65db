"""MNIST from files of any spelling or from OpenML; what is damaged, missing or not allowed is said in one line."""

from __future__ import annotations

import gzip
import os
import urllib.error

import numpy as np
import pytest
import torch

import landscape.problems.builtin.mnist as mnist_module
from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.errors import UsageError
from landscape.problems import get_problem
from tests.support.mnist import idx
from tests.support.problems import forget_cached_data


@pytest.fixture
def mnist_files():
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": idx(rng.integers(0, 256, (6, 28, 28), dtype=np.uint8)),
        "train-labels-idx1-ubyte": idx(np.array([5, 0, 4, 1, 9, 2], dtype=np.uint8)),
        "t10k-images-idx3-ubyte": idx(rng.integers(0, 256, (3, 28, 28), dtype=np.uint8)),
        "t10k-labels-idx1-ubyte": idx(np.array([7, 2, 1], dtype=np.uint8)),
    }


def put(folder, files, *, gz=False, rename=lambda name: name):
    folder.mkdir(parents=True, exist_ok=True)
    for name, raw in files.items():
        (folder / (rename(name) + (".gz" if gz else ""))).write_bytes(gzip.compress(raw) if gz else raw)


def test_mnist_reads_idx_files_plain_gzipped_and_under_other_spellings_alike(tmp_path, mnist_files):
    put(tmp_path / "plain", mnist_files)
    put(tmp_path / "gz", mnist_files, gz=True)
    put(tmp_path / "torchvision" / "MNIST" / "raw", mnist_files)
    put(tmp_path / "dots", mnist_files, rename=lambda name: name.replace("-idx", ".idx"))
    problems = [get_problem("mlp-mnist", data_dir=folder) for folder in sorted(tmp_path.iterdir())]
    assert len(problems) == 4
    for problem in problems:
        assert torch.equal(problem.train[0], problems[0].train[0])
        assert problem.train[1].tolist() == [5, 0, 4, 1, 9, 2]
    raw = np.frombuffer(mnist_files["train-images-idx3-ubyte"], dtype=np.uint8, offset=16).astype(float)
    assert np.allclose(problems[0].train[0].numpy().ravel(), (raw - raw.mean()) / raw.std(ddof=1), atol=1e-5)


def test_lenet_mnist_pads_with_background_and_takes_a_subset(tmp_path, mnist_files):
    put(tmp_path, mnist_files)
    problem = get_problem("lenet-mnist", {"num_train": 4}, data_dir=tmp_path)
    images = problem.train[0]
    assert images.shape == (4, 1, 32, 32)
    assert (images[:, :, :2] == images[0, 0, 0, 0]).all()
    assert images[0, 0, 0, 0] == problem.train[0].min()
    assert problem.make_model(0)(images).shape == (4, 10)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda raw: raw[:-1], "bytes, but its header promises"),
        (lambda raw: raw + b"\0", "bytes, but its header promises"),
        (lambda raw: raw[:9], "9 bytes, but its header promises"),
        (lambda raw: b"", "begins with nothing"),
        (lambda raw: b"PK" + raw[2:], "not an IDX file"),
        (lambda raw: raw[:2] + b"\x0d" + raw[3:], "type 0x0d"),
        (lambda raw: gzip.compress(raw)[:-20], "cannot be read"),
        (lambda raw: idx(np.zeros((6, 27, 28), np.uint8)), "not of 28 × 28 images"),
        (lambda raw: idx(np.zeros((5, 28, 28), np.uint8)), "5 images, but its labels"),
    ],
)
def test_a_damaged_idx_file_is_refused_by_name(tmp_path, mnist_files, damage, said):
    name = "train-images-idx3-ubyte"
    put(tmp_path, {**mnist_files, name: damage(mnist_files[name])})
    with pytest.raises(UsageError, match=said) as caught:
        get_problem("mlp-mnist", data_dir=tmp_path)
    assert name in str(caught.value)


def test_labels_beyond_nine_are_refused(tmp_path, mnist_files):
    put(tmp_path, {**mnist_files, "t10k-labels-idx1-ubyte": idx(np.array([1, 2, 10], np.uint8))})
    with pytest.raises(UsageError, match="label 10; expected 0 … 9"):
        get_problem("mlp-mnist", data_dir=tmp_path)


def test_missing_files_are_named_with_where_to_put_them_and_where_they_come_from(tmp_path, mnist_files):
    put(tmp_path, dict(list(mnist_files.items())[:3]))
    with pytest.raises(UsageError) as caught:
        get_problem("lenet-mnist", data_dir=tmp_path)
    message = str(caught.value)
    assert message.startswith("t10k-labels-idx1-ubyte not found")
    assert str(tmp_path) in message
    assert "LeCun" in message


@pytest.fixture
def data_home(tmp_path, monkeypatch):
    """An empty folder of scikit-learn's data, so that what this machine has fetched plays no part."""
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path))
    forget_cached_data()
    yield tmp_path
    forget_cached_data()


def test_without_files_and_network_the_message_says_what_to_do(monkeypatch, data_home):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setattr("sklearn.datasets.fetch_openml", no_network)
    with pytest.raises(UsageError, match=r"(?s)OpenML.*Name or service.*train-images-idx3-ubyte.*--data DIR"):
        get_problem("lenet-mnist")


class Bunch:
    """What OpenML would send, in small."""

    data = np.arange(5 * 784).reshape(5, 784) % 256
    target = np.array(["3", "1", "4", "1", "5"], dtype=object)


def test_with_a_network_the_first_rows_of_openml_are_the_training_set(monkeypatch, data_home):
    monkeypatch.setattr(mnist_module, "TRAIN_ROWS", 3)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: Bunch)
    problem = get_problem("mlp-mnist")
    assert problem.train[1].tolist() == [3, 1, 4]
    assert problem.test[1].tolist() == [1, 5]


def test_a_name_in_a_checkpoint_starts_no_download_but_finds_what_was_fetched(monkeypatch, data_home, tmp_path_factory):
    """Who types the name allows the download; from then on files may name the problem."""
    path = save_checkpoint(tmp_path_factory.mktemp("run"), torch.nn.ReLU(), step=0, problem="mlp-mnist")
    checkpoint = load_checkpoint(path)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: pytest.fail("something was fetched"))
    with pytest.raises(UsageError, match=r"does not start a download.*--problem lenet-mnist"):
        checkpoint.find_problem()
    monkeypatch.setattr(mnist_module, "TRAIN_ROWS", 3)
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: Bunch)
    typed = checkpoint.find_problem("mlp-mnist")
    forget_cached_data()
    monkeypatch.setattr("sklearn.datasets.fetch_openml", lambda *args, **kwargs: pytest.fail("something was fetched"))
    named = checkpoint.find_problem()
    assert all(torch.equal(a, b) for a, b in zip(typed.train + typed.test, named.train + named.test, strict=True))
    for left in data_home.iterdir():
        left.write_bytes(left.read_bytes()[:-100])
    forget_cached_data()
    with pytest.raises(UsageError, match="does not start a download"):
        checkpoint.find_problem()


@pytest.mark.parametrize("outside", ["../secret.txt", "/etc/passwd", "sub/../../secret.txt", "pipe", "nothing\0here"])
def test_a_config_cannot_name_a_file_outside_the_data_folder_nor_what_is_no_file(tmp_path, outside):
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "secret.txt").write_text("a secret of mine. " * 100)
    os.mkfifo(data / "pipe")
    with pytest.raises(UsageError, match="within the folder|cannot read"):
        get_problem("char-transformer-small", {"file": outside}, data_dir=data)


def test_a_config_has_no_say_about_the_data_folder_or_downloads():
    for key in ("data_dir", "download"):
        with pytest.raises(UsageError, match=f"{key!r} is no setting"):
            get_problem("mlp-mnist", {key: True})
