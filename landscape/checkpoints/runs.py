"""Folders of checkpoints: one run, or many."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np

from landscape.checkpoints.foreign_files import import_hint
from landscape.checkpoints.reader import Checkpoint, load_checkpoint
from landscape.checks import check_count
from landscape.errors import CheckpointError

_NAME = re.compile(r"step_(\d+)\.h5")


class Skipped(NamedTuple):
    """A file that could not be used, and why, in one line."""

    file: Path
    reason: str


class CheckpointDir(Sequence[Checkpoint]):
    """One run as a sequence of its checkpoints, oldest first. Each is opened and verified when it is taken out.

    Files that are still being written, or that a killed writer left, have other names and are not seen.

    Parameters
    ----------
    path : path
        A folder with ``step_*.h5``.

    Attributes
    ----------
    files : tuple of Path
        As found when this was made, by step.
    steps : tuple of int

    Raises
    ------
    CheckpointError
        If the folder does not exist or has no checkpoint.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        found = checkpoint_files(self.path)
        if not found:
            raise CheckpointError(f"no checkpoint (step_*.h5) in {self.path}{_hint(self.path)}")
        self.steps, self.files = tuple(found), tuple(found.values())

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Checkpoint: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Checkpoint, ...]: ...

    def __getitem__(self, index: int | slice) -> Checkpoint | tuple[Checkpoint, ...]:
        if isinstance(index, slice):
            return tuple(load_checkpoint(file) for file in self.files[index])
        return load_checkpoint(self.files[index])

    def usable(
        self, last: int | None = None, *, load: Callable[[Path], Checkpoint] = load_checkpoint
    ) -> tuple[list[Checkpoint], list[Skipped]]:
        """The checkpoints that can be used, oldest first, and the files that cannot, with the reason.

        Parameters
        ----------
        last : int, optional
            Stop looking, from the newest backwards, when that many were found.
        load : callable
            Opens one of the files.
        """
        if last is not None:
            check_count("last", last)
        good: list[Checkpoint] = []
        bad: list[Skipped] = []
        for file in reversed(self.files):
            if last is not None and len(good) == last:
                break
            try:
                good.append(load(file))
            except CheckpointError as error:
                bad.append(Skipped(file, str(error)))
        return good[::-1], bad[::-1]

    def history(self) -> dict[str, np.ndarray]:
        """What training wrote down at every step, such as ``loss`` and ``step_size``, each (S,), with ``step`` (S,).

        NaN where a checkpoint has no such number. Empty where none has any.
        """
        return history_of(self)

    def __repr__(self) -> str:
        return f"CheckpointDir({str(self.path)!r}, {len(self)} checkpoints, steps {self.steps[0]} … {self.steps[-1]})"


def history_of(checkpoints: Iterable[Checkpoint]) -> dict[str, np.ndarray]:
    """What :meth:`CheckpointDir.history` says, of checkpoints that are read already, oldest first."""
    parts = [(checkpoint.step, checkpoint.history()) for checkpoint in checkpoints]
    names = sorted({name for _, found in parts for name in found})
    steps: list[np.ndarray] = []
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for step, found in parts:
        count = max(map(len, found.values()), default=0)
        steps.append(np.arange(step - count + 1, step + 1))
        for name in names:
            columns[name].append(found.get(name, np.full(count, np.nan)))
    if not names:
        return {}
    return {"step": np.concatenate(steps)} | {name: np.concatenate(column) for name, column in columns.items()}


def checkpoint_files(folder: str | Path) -> dict[int, Path]:
    """Step → file of the checkpoints in a folder, by step; empty where there is none or no such folder."""
    folder = Path(folder)
    try:
        named = [(_NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise CheckpointError(f"cannot read the folder {folder}: {error.strerror}") from error
    return dict(sorted((int(match[1]), path) for match, path in named if match))


def find_runs(path: str | Path, *, unreadable: list[Skipped] | None = None) -> list[Path]:
    """The runs in a folder, sorted: the folder itself where it has checkpoints, else those below it, at any depth.

    Parameters
    ----------
    path : path
    unreadable : list, optional
        Takes the folders that cannot be read; left out, the first of them is an error.

    Raises
    ------
    CheckpointError
        If there is none, saying what was looked for.
    """
    path = Path(path)
    refused: list[Skipped] = []
    runs = sorted(_runs_below(path, set(), refused))
    if refused and (unreadable is None or not runs):
        raise CheckpointError(f"cannot read the folder {refused[0].file}: {refused[0].reason}")
    if unreadable is not None:
        unreadable += refused
    if not runs:
        raise CheckpointError(
            f"no checkpoint found: neither {path} nor a folder below it holds a file step_*.h5{_hint(path)}"
        )
    return runs


def _runs_below(folder: Path, seen: set[Path], refused: list[Skipped]) -> Iterator[Path]:
    try:
        if not folder.is_dir() or folder.resolve() in seen:
            return  # a link back up would go round for ever
        seen.add(folder.resolve())
        children = sorted(folder.iterdir())
    except (OSError, RuntimeError) as error:  # no permission, a path too long, links in a circle
        refused.append(Skipped(folder, (error.strerror if isinstance(error, OSError) else None) or str(error)))
        return
    if any(_NAME.fullmatch(child.name) for child in children):
        yield folder
        return
    for child in children:
        if not child.name.startswith("."):
            yield from _runs_below(child, seen, refused)


def _hint(path: Path) -> str:
    if hint := import_hint(path):
        return hint
    if path.is_file():
        return ". It is a file; name the folder it is in"
    return "" if path.exists() else ". There is no such folder"
