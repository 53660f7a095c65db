"""Problems on MNIST, read from its four IDX files, or fetched from OpenML where no folder is given."""

from __future__ import annotations

import contextlib
import gzip
import os
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.files import replacing
from landscape.problems.base import Examples, Problem
from landscape.problems.builtin.digits import LOSSES, NUM_CLASSES, first_examples, softmax_regression, standardise
from landscape.problems.builtin.networks import lenet5, mlp
from landscape.problems.recipe import Recipe

FILES = {
    "train images": "train-images-idx3-ubyte",
    "train labels": "train-labels-idx1-ubyte",
    "test images": "t10k-images-idx3-ubyte",
    "test labels": "t10k-labels-idx1-ubyte",
}
SUBFOLDERS = ("", "mnist", "MNIST/raw")
SIDE = 28
SPLITS = ("train", "test")
TRAIN_ROWS = 60_000
SOURCE = (
    "the MNIST database of LeCun, Cortes and Burges; torchvision.datasets.MNIST(DIR, download=True) leaves them in DIR"
)


def lenet_mnist(
    *,
    activation: str = "relu",
    pooling: str = "average",
    loss: str = "cross_entropy",
    num_train: int | None = None,
    num_test: int | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
) -> Problem:
    """LeNet-5 on MNIST: 28 × 28 images with two pixels of background on each side, standardised."""
    check_choice("loss", loss, LOSSES)
    train, test = _splits(num_train, num_test, data_dir, download)
    background = float(train[0].min())
    padded = [(functional.pad(images, (2, 2, 2, 2), value=background), labels) for images, labels in (train, test)]
    return Problem(
        build=lenet5(activation, pooling),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=padded[0],
        test=padded[1],
        num_classes=NUM_CLASSES,
        recipe=Recipe("sgd", batch_size=64, epochs=10),
    )


def softmax_mnist(
    *,
    l2: float = 0.0,
    loss: str = "cross_entropy",
    num_train: int | None = None,
    num_test: int | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
) -> Problem:
    """Softmax regression on the 784 pixels of MNIST; ``l2`` > 0 adds ½·l2·‖W‖²."""
    train, test = _splits(num_train, num_test, data_dir, download)
    return softmax_regression(
        train, test, l2=l2, loss=loss,
        recipe=Recipe("sgd", batch_size=64, epochs=10, learning_rates={"sgd": 0.05}),
    )  # fmt: skip


def mlp_mnist(
    *,
    hidden: Sequence[int] = (100, 100),
    activation: str = "tanh",
    loss: str = "cross_entropy",
    num_train: int | None = None,
    num_test: int | None = None,
    data_dir: str | Path | None = None,
    download: bool = True,
) -> Problem:
    """A multilayer perceptron on the 784 pixels of MNIST."""
    check_choice("loss", loss, LOSSES)
    train, test = _splits(num_train, num_test, data_dir, download)
    return Problem(
        build=mlp(SIDE * SIDE, hidden, activation),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        recipe=Recipe("sgd", batch_size=64, epochs=10),
    )


def _splits(
    num_train: int | None, num_test: int | None, data_dir: str | Path | None, download: bool
) -> tuple[Examples, Examples]:
    """The first images of both splits."""
    train, test = mnist_split(None if data_dir is None else Path(data_dir), download=download)
    return first_examples(train, num_train, "num_train"), first_examples(test, num_test, "num_test")


@lru_cache(maxsize=2)
def mnist_split(data_dir: Path | None, *, download: bool = True) -> tuple[Examples, Examples]:
    """``((N, 1, 28, 28), (N,))`` for training and for test, standardised by the training pixels.

    Without a folder they are fetched, once, where ``download`` allows it; else only what was fetched before is taken.
    """
    arrays = _fetched(download=download) if data_dir is None else _read_folder(data_dir)
    images = {split: torch.tensor(arrays[f"{split} images"], dtype=torch.float32)[:, None] for split in SPLITS}
    labels = {split: torch.tensor(arrays[f"{split} labels"], dtype=torch.int64) for split in SPLITS}
    train, test = ((standardise(images[split], images["train"]), labels[split]) for split in SPLITS)
    return train, test


def _fetched(*, download: bool) -> dict[str, np.ndarray]:
    """MNIST from where it was kept when it was fetched, or else from OpenML."""
    kept = _read_kept()
    if kept is not None:
        return kept
    if not download:
        raise UsageError(
            "a checkpoint that names MNIST does not start a download. Name the problem yourself, --problem lenet-mnist "
            f"(or another of them), and it is fetched once; or: {_remedy()}"
        )
    arrays = _fetch()
    with contextlib.suppress(OSError):  # a disk that is full or read-only: then it is fetched again the next time
        path = _kept_at()
        with replacing(path, path.with_name(f".{path.name}.{os.getpid()}.tmp")) as stream:
            np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
    return arrays


def _kept_at() -> Path:
    from sklearn.datasets import get_data_home

    return Path(get_data_home()) / "landscape-mnist.npz"


def _read_kept() -> dict[str, np.ndarray] | None:
    """What an earlier download left, where it is there and whole."""
    parts = [f"{split} {kind}" for split in SPLITS for kind in ("images", "labels")]
    with contextlib.suppress(OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile):
        path = _kept_at()
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                return {part: file[part] for part in parts}
    return None


def _fetch() -> dict[str, np.ndarray]:
    """MNIST as OpenML's mnist_784: the first 60,000 rows are the training set, the last 10,000 the test set."""
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            # It warns at each of its retries; the error at the end says it once.
            warnings.simplefilter("ignore")
            data: Any = fetch_openml("mnist_784", version=1, as_frame=False)
        images = np.asarray(data.data, dtype=np.uint8).reshape(-1, SIDE, SIDE)
        labels = np.asarray(data.target).astype(np.int64)
    except (OSError, ValueError) as error:
        # No network is an OSError (urllib's URLError and HTTPError are); a damaged download is a ValueError.
        raise UsageError(f"MNIST cannot be fetched from OpenML ({error}). {_remedy()}") from error
    parts = {"train": slice(None, TRAIN_ROWS), "test": slice(TRAIN_ROWS, None)}
    kinds: dict[str, np.ndarray] = {"images": images, "labels": labels}
    return {f"{split} {kind}": array[rows] for split, rows in parts.items() for kind, array in kinds.items()}


def _remedy(folder: Path | None = None) -> str:
    where = "a folder, and name the folder with --data DIR (data_dir=)" if folder is None else str(folder)
    return f"Put {', '.join(FILES.values())} (each may end in .gz) into {where}; they come from {SOURCE}"


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    paths = {part: _find(folder, name) for part, name in FILES.items()}
    missing = [FILES[part] for part, path in paths.items() if path is None]
    if missing:
        raise UsageError(f"{', '.join(missing)} not found in {folder}. {_remedy(folder)}")
    arrays = {part: read_idx(path) for part, path in paths.items() if path is not None}
    for split in SPLITS:
        images, labels = arrays[f"{split} images"], arrays[f"{split} labels"]
        image_path = paths[f"{split} images"]
        if images.ndim != 3 or images.shape[1:] != (SIDE, SIDE):
            raise UsageError(f"{image_path} holds an array of shape {images.shape}, not of {SIDE} × {SIDE} images")
        if labels.ndim != 1 or len(labels) != len(images):
            raise UsageError(f"{image_path} holds {len(images)} images, but its labels have shape {labels.shape}")
        if len(labels) and labels.max() >= NUM_CLASSES:
            raise UsageError(f"{paths[f'{split} labels']} holds the label {labels.max()}; expected 0 … 9")
    return arrays


def _find(folder: Path, name: str) -> Path | None:
    # Some mirrors write the last hyphen before "idx" as a dot.
    for spelling in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            for subfolder in SUBFOLDERS:
                path = folder / subfolder / (spelling + ending)
                if path.is_file():
                    return path
    return None


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file of unsigned bytes, gzipped or not.

    The format: two zero bytes, a type code (8: unsigned byte), the number of axes, each axis as a big-endian 32-bit
    number, then the values in C order.

    Raises
    ------
    UsageError
        If the file cannot be read, is not IDX, holds another type, or is shorter or longer than its header says.
    """
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"{path} cannot be read: {error}. Copy or download it again") from error
    if len(raw) < 4 or raw[:2] != b"\0\0":
        raise UsageError(f"{path} is not an IDX file: it begins with {raw[:4].hex() or 'nothing'}, not with 0000")
    if raw[2] != 8:
        raise UsageError(f"{path} holds IDX values of type 0x{raw[2]:02x}; MNIST has unsigned bytes, 0x08")
    header = 4 + 4 * raw[3]
    shape = tuple(int(n) for n in np.frombuffer(raw[4:header], dtype=">u4")) if len(raw) >= header else ()
    expected = header + int(np.prod(shape, dtype=object))
    if len(raw) < header or len(raw) != expected:
        raise UsageError(f"{path} has {len(raw)} bytes, but its header promises {expected}. Copy or download it again")
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)
