"""Files as the code beside Li et al. (2018) writes them, step for step, with plain h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np


def surface(path: Path, function: Any, x: Any, y: Any = None, *, skip: Any = (), dir_file: str = "nets/dir.h5") -> Path:
    """Evaluate ``function(x, y) -> (loss, accuracy in per cent)`` at each point whose running number is not skipped.

    A plane is allocated as (nx, ny) and filled by running numbers of the mesh of (x, y), rows of x first.
    """
    x, plane = np.asarray(x, float), y is not None
    with h5py.File(path, "a") as f:
        f["dir_file"] = dir_file
        f["xcoordinates"] = x
        if plane:
            f["ycoordinates"] = np.asarray(y, float)
    with h5py.File(path, "r+") as f:
        losses = -np.ones((len(x), len(y)) if plane else x.shape)
        accuracies = losses.copy()
        f["train_loss"], f["train_acc"] = losses, accuracies
        xs, ys = (mesh.ravel() for mesh in np.meshgrid(x, y)) if plane else (x, np.zeros(len(x)))
        for number in np.arange(losses.size)[losses.ravel() <= 0]:
            if number not in skip:
                losses.ravel()[number], accuracies.ravel()[number] = function(xs[number], ys[number])
                f["train_loss"][:], f["train_acc"][:] = losses, accuracies
    return path


def directions(path: Path, *lists: Any, **more: Any) -> Path:
    """``xdirection`` and ``ydirection`` as groups of numbered tensors, ``more`` beside them."""
    with h5py.File(path, "w") as f:
        for name, tensors in zip(("xdirection", "ydirection"), lists, strict=False):
            group = f.create_group(name)
            for i, tensor in enumerate(tensors):
                group.create_dataset(str(i), data=tensor.numpy() if hasattr(tensor, "numpy") else tensor)
        for name, value in more.items():
            f[name] = value
    return path


def listed(path: Path, name: str) -> list[np.ndarray]:
    """As that code reads a direction."""
    with h5py.File(path, "r") as f:
        group = f[name]
        return [np.array(group[str(i)]) for i in range(len(group))]
