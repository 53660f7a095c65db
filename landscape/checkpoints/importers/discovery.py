"""Which checkpoints of other libraries lie in a folder, and to which run each belongs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from landscape.checkpoints.foreign_files import IMPORTED, is_named_as_foreign
from landscape.checkpoints.importers import huggingface, llm_baselines
from landscape.errors import CheckpointError

#: Folders that are named for what is in them, and stand for no run of their own.
_NOT_A_RUN = ("checkpoints", "checkpoint", "ckpts", "ckpt", "weights")


@dataclass(frozen=True)
class Source:
    """A checkpoint of another library in a folder.

    Attributes
    ----------
    path : Path
        Its file, or its folder where it is one.
    run : str
        The run to which it belongs, as a path below the folder that was searched; ``"."`` is that folder.
    """

    path: Path
    run: str


def find_sources(root: Path) -> list[Source]:
    """All of them, at any depth, by path: each file, and each Hugging Face folder as one.

    Raises
    ------
    CheckpointError
        If the path is not there, or a folder cannot be read.
    """
    if root.is_file():
        return [Source(root, ".")]
    if not root.is_dir():
        raise CheckpointError(f"{root} does not exist")
    return [Source(path, _run_of(path, root)) for path in _below(root, set())]


def _below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    try:
        if folder.resolve() in seen:
            return  # a link back up would go round for ever
        seen.add(folder.resolve())
        children = sorted(folder.iterdir(), key=lambda path: _by_number(path.name))
        whole = huggingface.is_mine(folder)
        for child in children:
            if child.name.startswith(".") or child.name == IMPORTED:
                continue
            if child.is_dir():
                yield from _below(child, seen)
            elif not whole and is_named_as_foreign(child.name) and not _is_second_name(child):
                yield child
        if whole:
            yield folder
    except (OSError, RuntimeError) as error:
        raise CheckpointError(
            f"cannot read the folder {folder}: {(isinstance(error, OSError) and error.strerror) or error}"
        ) from error


def _is_second_name(path: Path) -> bool:
    """Whether a file is a link to one beside it, such as Lightning's ``last.ckpt``."""
    return path.is_symlink() and path.resolve().parent == path.parent.resolve()


def _by_number(name: str) -> tuple[int, str]:
    """``checkpoint-500`` before ``checkpoint-1000``, and what has no number, such as ``best.pt``, after those."""
    digits = "".join(c if c.isdecimal() else " " for c in name).split()
    return (int(digits[-1][:18]) if digits else 1 << 62, name)


def _run_of(path: Path, root: Path) -> str:
    parts = list(PurePosixPath(path.relative_to(root).as_posix()).parts)
    parts = parts[:-1] if path.is_file() or _is_step_of_trainer(path) else parts
    if path.name == llm_baselines.FILE and parts and (parts[-1].isdecimal() or parts[-1] == "latest"):
        parts = parts[:-1]
    while parts and parts[-1] in _NOT_A_RUN:
        parts = parts[:-1]
    return "/".join(parts) or "."


def is_one_step(folder: Path) -> bool:
    """Whether a folder is a checkpoint of a run rather than a run: ``checkpoint-<step>``, ``ckpts/<iter>``."""
    of_baselines = (folder / llm_baselines.FILE).is_file() and (folder.name.isdecimal() or folder.name == "latest")
    return of_baselines or (_is_step_of_trainer(folder) and huggingface.is_mine(folder))


def _is_step_of_trainer(path: Path) -> bool:
    return path.name.startswith("checkpoint-") and path.name.rpartition("-")[2].isdecimal()
