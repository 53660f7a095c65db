"""MNIST's four files, of few images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    return b"\0\0\x08" + bytes([array.ndim]) + np.array(array.shape, dtype=">u4").tobytes() + array.tobytes()


def write_digits_as_mnist(folder: Path, *, num_train: int = 6000, num_test: int = 60) -> Path:
    """The small digits of scikit-learn, enlarged to 28 × 28, as files of MNIST; where they do not suffice, again."""
    images, labels = load_digits(return_X_y=True)
    rows = np.arange(num_train + num_test) % len(labels)
    images, labels = images[rows], labels[rows]
    large = np.kron(images.reshape(-1, 8, 8), np.ones((1, 3, 3)))
    large = np.pad(large, ((0, 0), (2, 2), (2, 2))) * 15.9
    parts = {"train": slice(num_train), "t10k": slice(num_train, num_train + num_test)}
    for name, rows in parts.items():
        (folder / f"{name}-images-idx3-ubyte").write_bytes(idx(large[rows].astype(np.uint8)))
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(idx(labels[rows].astype(np.uint8)))
    return folder
