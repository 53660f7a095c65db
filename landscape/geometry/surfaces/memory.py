"""What was evaluated of a surface, kept on disk as it comes, so that one that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape import distributed
from landscape.errors import LandscapeError, UsageError
from landscape.files import Held, Ledger, reason
from landscape.geometry.surfaces.among_ranks import AmongRanks, Copy
from landscape.geometry.surfaces.elsewhere import Elsewhere, PointValues
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.network import Key
from landscape.geometry.surfaces.packing import packed, unpacked
from landscape.jobs import Executor, opened_executor
from landscape.objective import Objective
from landscape.progress import say

#: Bytes on disk: what is evaluated beyond is not kept, and a surface that was killed evaluates it again.
MOST = 256 * 2**20
#: Raised where entries mean something else than before.
_VERSION = 1


class Memory:
    """Numbers and outputs by name, and who evaluates them; without a ledger nothing is kept.

    Parameters
    ----------
    ledger : Ledger, or a Copy of rank 0's, optional
    elsewhere : Elsewhere or AmongRanks, optional
        Where many of them are evaluated at a time; left out, one by one here.
    name : str
        In front of every name.
    """

    def __init__(
        self, ledger: Ledger | Copy | None = None, elsewhere: Elsewhere | AmongRanks | None = None, name: str = ""
    ) -> None:
        self._ledger, self._elsewhere, self._name = ledger, elsewhere, name
        self._brought: dict[str, Any] = {}

    @property
    def keeps(self) -> bool:
        """Whether what is put is found again."""
        return self._ledger is not None

    def inside(self, name: str) -> Memory:
        """A part of it, where the same name is that of something else."""
        return Memory(self._ledger, self._elsewhere, f"{self._name}{name}/")

    def numbers(self, name: str, compute: Callable[[], Any]) -> np.ndarray:
        """An array of float64 of that name, computed where it is not known."""
        found = self._get(name)
        if found is None:
            found = np.asarray(compute(), dtype=float)
            self._put(name, found)
        return np.asarray(found)

    def bring_points(self, values_at: PointValues, places: Sequence[tuple[float, float]]) -> None:
        """Have numbers evaluated elsewhere, where anybody is there; :meth:`numbers` at :func:`point` finds them."""
        todo = [place for place in places if not self._has(point(*place))]
        if self._elsewhere is not None and len(todo) > 1:
            self._elsewhere.points(values_at, todo, lambda place, found: self._bring(point(*place), found))

    def bring_nodes(self, objective: Objective, moved: Any, places: Sequence[tuple[int, Key]]) -> None:
        """Have outputs of chunks at nodes evaluated elsewhere, where anybody is there; :meth:`take` finds them."""
        todo = [place for place in places if not self._has(_entry("loss", *place))]

        def found(place: tuple[int, Key], values: tuple[Tensor, np.ndarray]) -> None:
            self._bring(_entry("outputs", *place), values[0])
            self._bring(_entry("loss", *place), values[1])

        if self._elsewhere is not None and len(todo) > 1:
            self._elsewhere.nodes(objective, moved, todo, found)

    def take(self, index: int, key: Key, device: torch.device) -> tuple[Tensor, float] | None:
        """Outputs and loss of a chunk of the data at a node, where they are known."""
        loss, outputs = (self._get(_entry(of, index, key)) for of in ("loss", "outputs"))
        return None if loss is None or outputs is None else (outputs.to(device), float(loss))

    def keep(self, index: int, key: Key, outputs: Tensor, loss: float) -> None:
        """Keep them."""
        if self._ledger is not None:
            self._put(_entry("outputs", index, key), outputs)
            self._put(_entry("loss", index, key), np.array(loss))

    def _has(self, name: str) -> bool:
        return name in self._brought or (self._ledger is not None and self._name + name in self._ledger)

    def _get(self, name: str) -> Any:
        if name in self._brought:
            return self._brought.pop(name)
        content = None if self._ledger is None else self._ledger.get(self._name + name)
        return None if content is None else unpacked(content)

    def _bring(self, name: str, value: np.ndarray | Tensor) -> None:
        self._put(name, value)
        self._brought[name] = value

    def _put(self, name: str, value: np.ndarray | Tensor) -> None:
        if self._ledger is None or self._ledger.fault:
            return
        self._ledger.put(self._name + name, packed(value))
        if self._ledger.fault:
            say(f"the rest is not kept on disk ({self._ledger.fault}); killed, this surface evaluates it again")


def point(up: float, right: float) -> str:
    """What a point of a grid is called."""
    return f"at {up!r} {right!r}"


def _entry(of: str, index: int, key: Key) -> str:
    return f"{of} {index} at {key[0]!r} {key[1]!r}"


@contextmanager
def remembering(
    folder: str | Path | None, question: Callable[[], tuple[Any, ...]], executor: Executor | str | None = None
) -> Iterator[Memory]:
    """The memory of a surface in a folder, in a file of its own; None keeps nothing.

    Parameters
    ----------
    question : callable
        What the surface is of, as :func:`~landscape.geometry.surfaces.identity.digest` takes it.
    executor : str or Executor, optional
        Where it is evaluated; left out, here.

    Raises
    ------
    UsageError
        If the folder cannot be written, or there are ranks besides the executor.
    LandscapeError
        If another process evaluates this surface there.
    """
    group = distributed.current()
    if group is not None and executor is not None:
        raise UsageError("executor= and ranks do not go together: all ranks evaluate a surface. Leave out one of them")
    with opened_executor(executor) as opened, _ledger_in(folder, question) as ledger:
        yield Memory(ledger, AmongRanks(group) if group is not None else None if opened is None else Elsewhere(opened))


@contextmanager
def _ledger_in(folder: str | Path | None, question: Callable[[], tuple[Any, ...]]) -> Iterator[Ledger | Copy | None]:
    if folder is None:
        yield None
        return
    named = digest(_VERSION, *question())
    with _opened(Path(folder) / f"{named[:32]}.points", named) as ledger:
        yield ledger


def _opened(path: Path, named: str) -> Ledger | Copy:
    """The file itself; on a rank other than 0, what that one found in it."""
    ledger: Ledger | None = None

    def entries() -> dict[str, bytes] | None:
        nonlocal ledger
        ledger = _ledger(path, named)
        return ledger.entries() if is_shared else None

    is_shared = distributed.current() is not None
    found = distributed.by_first(entries, "what is known of a surface")
    return Copy(found or {}, MOST) if ledger is None else ledger


def _ledger(path: Path, named: str) -> Ledger:
    try:
        return Ledger(path, named, most=MOST)
    except Held as error:
        raise LandscapeError(
            f"process {error.holder} evaluates this very surface with resume={str(path.parent)!r}; wait until it has "
            "ended, or give another folder"
        ) from None
    except OSError as error:
        raise UsageError(
            f"resume={str(path.parent)!r} cannot be written ({reason(error)}); give another folder"
        ) from error
