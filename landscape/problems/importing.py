"""From what a person typed, ``pkg.mod:name`` or ``path/to/file.py:name``, to the object of that name."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from landscape.errors import UsageError, in_one_line


def object_named(spec: str, folders: Sequence[Path], *, what: str = "problem") -> tuple[Any, str]:
    """The object, and the file in which its module stands. Only for what a person typed: importing runs code.

    ``what`` is how a message calls it.

    Raises
    ------
    UsageError
        If the module is missing or fails, or has no such name.
    """
    module_name, _, name = spec.rpartition(":")
    is_file = module_name.endswith(".py")
    try:
        with importable(folders):
            module = _from_file(Path(module_name)) if is_file else _by_name(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises, they get one line that names it
        places = "the current folder, beside the checkpoints, on PYTHONPATH and among the installed packages"
        raise UsageError(
            f"{what} {spec!r}: importing {module_name!r} failed ({in_one_line(error)}); it is looked for in {places}"
        ) from error
    if not hasattr(module, name):
        public = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        own = [key for key in public if getattr(vars(module)[key], "__module__", None) == module.__name__]
        there = f"; it has {', '.join(own[:6])}" if own else ""
        raise UsageError(f"{what} {spec!r}: {module_name} has no function {name!r}{there}")
    return getattr(module, name), str(getattr(module, "__file__", None))


@contextmanager
def importable(folders: Sequence[Path]) -> Iterator[None]:
    """The current folder before, and others behind, all places where Python looks for modules; then as it was."""
    first, before = str(Path.cwd()), list(sys.path)
    sys.path[:] = [first, *before, *(str(folder) for folder in folders)]
    try:
        yield
    finally:
        sys.path[:] = before


def folders_for(spec: str, beside: str | Path | None) -> tuple[Path, ...]:
    """Where modules are looked for besides: beside the file that is named, and beside a checkpoint, which is in its
    folder, in that of all runs, and in the one that they are in."""
    file = spec.rpartition(":")[0]
    own = (Path(file).resolve().parent,) if file.endswith(".py") else ()
    return own + (() if beside is None else tuple(Path(beside).resolve().parents[:3]))


#: Top-level modules that were imported here, which another folder may have under the same name.
_imported: set[str] = set()


def _by_name(name: str) -> ModuleType:
    """Imported, and anew where this time the module of that name is another file."""
    top = name.partition(".")[0]
    if top in _imported and top in sys.modules:
        found = PathFinder.find_spec(top, sys.path)
        if found is not None and found.origin != getattr(sys.modules[top], "__file__", None):
            for loaded in [key for key in sys.modules if key == top or key.startswith(f"{top}.")]:
                del sys.modules[loaded]
    if top not in sys.modules:
        _imported.add(top)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def _from_file(path: Path) -> ModuleType:
    """Under a name of its own, with the modules beside it importable."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    name = "_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    found = importlib.util.spec_from_file_location(name, path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
