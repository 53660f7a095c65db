"""Which converter reads a file or folder: decided by what is in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from landscape.checkpoints.foreign_files import foreign_names, import_hint, is_named_as_foreign
from landscape.checkpoints.importers import huggingface, lightning, llm_baselines, nanogpt, pytorch, safetensors, torch7
from landscape.checkpoints.importers.foreign import Foreign
from landscape.checkpoints.importers.pickles import kind_of, load_pickle
from landscape.errors import CheckpointError


def read_foreign(path: Path, *, allow: Sequence[str] = (), key: str | None = None) -> Foreign:
    """Read a checkpoint of another library. Nothing that it names is run.

    Parameters
    ----------
    allow : sequence of str
        Classes that may be made, by full name.
    key : str, optional
        Under which key of a dictionary the model's tensors stand, joined by dots; left out, the usual ones.

    Raises
    ------
    CheckpointError
        In one line: not there, of no known format, damaged, without tensors, or with classes that are not allowed.
    """
    if path.is_dir():
        if huggingface.is_mine(path):
            return huggingface.read(path, allow=allow)
        if not (path / llm_baselines.FILE).is_file():
            raise CheckpointError(f"{path} is a folder and no checkpoint by itself{import_hint(path)}")
        path = path / llm_baselines.FILE
    if kind_of(path) == "safetensors":
        return safetensors.read(path)
    content = load_pickle(path, allow=allow)
    if lightning.is_mine(path, content):
        return lightning.read(path, content, key=key)
    if key is None and nanogpt.is_mine(path, content):
        return nanogpt.read(path, content)
    if key is None and llm_baselines.is_mine(path, content):
        return llm_baselines.read(path, content)
    if key is None and torch7.is_mine(path, content):
        return torch7.read(path, content, allow=allow)
    return pytorch.read(path, content, key=key)


def is_foreign(path: str | Path) -> bool:
    """Whether a file is of another library, by its name or content, or a folder has such; False where there is none."""
    path = Path(path)
    if path.is_dir():
        return any(True for _ in foreign_names(path))
    try:
        kind = kind_of(path)
    except CheckpointError:
        return is_named_as_foreign(path.name) and path.is_file()
    return kind not in ("landscape", "unknown") or (kind == "unknown" and is_named_as_foreign(path.name))


def files_of(path: Path) -> list[Path]:
    """All files that are read of a checkpoint: by their content it is known again."""
    if path.is_dir():
        return huggingface.files_of(path) if huggingface.is_mine(path) else [path / llm_baselines.FILE]
    beside = torch7.optimizer_file(path)
    return [path] if beside is None else [path, beside]
