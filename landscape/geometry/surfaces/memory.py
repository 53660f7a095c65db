"""What was evaluated of a surface, kept on disk as it comes, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import LandscapeError, UsageError
from landscape.files import Held, Ledger, reason
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.network import Key
from landscape.progress import say

#: Bytes on disk: what is evaluated beyond is not kept, and a surface that was killed evaluates it again.
MOST = 256 * 2**20
#: Raised where entries mean something else than before.
_VERSION = 1


class Memory:
    """Numbers and outputs by name; without a ledger nothing is kept.

    Parameters
    ----------
    ledger : Ledger, optional
    name : str
        In front of every name.
    """

    def __init__(self, ledger: Ledger | None = None, name: str = "") -> None:
        self._ledger, self._name = ledger, name

    @property
    def keeps(self) -> bool:
        """Whether what is put is found again."""
        return self._ledger is not None

    def inside(self, name: str) -> Memory:
        """A part of it, where the same name is that of something else."""
        return Memory(self._ledger, f"{self._name}{name}/")

    def numbers(self, name: str, compute: Callable[[], Any]) -> np.ndarray:
        """An array of float64 of that name, computed where it is not known."""
        found = self._get(name)
        if found is None:
            found = np.asarray(compute(), dtype=float)
            self._put(name, found)
        return np.asarray(found)

    def take(self, index: int, key: Key, device: torch.device) -> tuple[Tensor, float] | None:
        """Outputs and loss of a chunk of the data at a node, where they are known."""
        if self._ledger is None:
            return None
        loss, outputs = (self._get(_entry(of, index, key)) for of in ("loss", "outputs"))
        return None if loss is None or outputs is None else (outputs.to(device), float(loss))

    def keep(self, index: int, key: Key, outputs: Tensor, loss: float) -> None:
        """Keep them."""
        if self._ledger is not None:
            self._put(_entry("outputs", index, key), outputs)
            self._put(_entry("loss", index, key), np.array(loss))

    def _get(self, name: str) -> Any:
        content = None if self._ledger is None else self._ledger.get(self._name + name)
        return None if content is None else unpacked(content)

    def _put(self, name: str, value: np.ndarray | Tensor) -> None:
        if self._ledger is None or self._ledger.fault:
            return
        self._ledger.put(self._name + name, packed(value))
        if self._ledger.fault:
            say(f"the rest is not kept on disk ({self._ledger.fault}); killed, this surface evaluates it again")


def _entry(of: str, index: int, key: Key) -> str:
    return f"{of} {index} at {key[0]!r} {key[1]!r}"


@contextmanager
def remembering(folder: str | Path | None, question: Callable[[], tuple[Any, ...]]) -> Iterator[Memory]:
    """The memory of a surface in a folder, in a file of its own; None keeps nothing.

    Parameters
    ----------
    question : callable
        What the surface is of, as :func:`~landscape.geometry.surfaces.identity.digest` takes it.

    Raises
    ------
    UsageError
        If the folder cannot be written.
    LandscapeError
        If another process evaluates this surface there.
    """
    if folder is None:
        yield Memory()
        return
    named = digest(_VERSION, *question())
    path = Path(folder) / f"{named[:32]}.points"
    try:
        ledger = Ledger(path, named, most=MOST)
    except Held as error:
        raise LandscapeError(
            f"process {error.holder} evaluates this very surface with resume={str(folder)!r}; wait until it has ended, "
            "or give another folder"
        ) from None
    except OSError as error:
        raise UsageError(f"resume={str(folder)!r} cannot be written ({reason(error)}); give another folder") from error
    with ledger:
        yield Memory(ledger)


def packed(value: np.ndarray | Tensor) -> bytes:
    """Bytes of an array or of a tensor, bit for bit; of one that is not dense in memory, of a copy that is."""
    if isinstance(value, np.ndarray):
        about: dict[str, Any] = {"array": value.dtype.str, "shape": value.shape}
        return json.dumps(about).encode() + b"\n" + value.tobytes()
    dense = value.detach().clone()
    about = {"tensor": str(dense.dtype).removeprefix("torch."), "shape": dense.shape, "stride": dense.stride()}
    flat = dense.as_strided((dense.numel(),), (1,)).cpu().view(torch.uint8)
    return json.dumps(about).encode() + b"\n" + flat.numpy().tobytes()


def unpacked(content: bytes) -> Any:
    """What :func:`packed` was given."""
    head, _, raw = content.partition(b"\n")
    about = json.loads(head)
    if "array" in about:
        return np.frombuffer(raw, about["array"]).reshape(about["shape"]).copy()
    dtype = getattr(torch, about["tensor"])
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    return flat.as_strided(about["shape"], about["stride"])
