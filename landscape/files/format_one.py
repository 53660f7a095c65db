"""Files of format 1, which HDF5's own library must read: in a process of its own, with a limit on time and memory.

Two bytes of such a file, wrong by accident or on purpose, can make the library loop for ever or crash. So a child reads
it, refuses what our writers never wrote, compares the hash of the content where the format has one, and hands over the
same tree as a file of today; whatever becomes of the child, that file or one error is all that comes back.

``python -m landscape.files.format_one`` is the child: the old file is its stdin, the new one its stdout.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from landscape.files import writer
from landscape.files.checksum import feed
from landscape.files.reader import Group, read_tree_of
from landscape.files.seal import SEAL_SIZE, OnDisk, Unusable
from landscape.files.writer import MAX_DEPTH, NewDataset, NewGroup

# Of processor time, in which a loop without end is noticed; and of the clock, for what only waits.
CPU_SECONDS, SECONDS = 1, 30
BYTES_PER_SECOND = 10_000_000
MEMORY = 2 << 30
# How the child ends, and what that says of the file.
_ENDS = {3: "damaged", 4: "foreign", 5: "newer"}


@contextlib.contextmanager
def converted(raw: IO[bytes], name: str) -> Iterator[Group]:
    """The tree of an old file, which is open, of the format ``name``.

    Its ``attrs["sha256_holds"]`` says whether the hash of its content does, where the format has one.

    Raises
    ------
    Unusable
        If it is not what our writers wrote, or the library does not survive it.
    """
    size = os.fstat(raw.fileno()).st_size
    seconds = SECONDS + size / BYTES_PER_SECOND
    here = str(Path(__file__).parents[2])
    above = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    os.lseek(raw.fileno(), 0, os.SEEK_SET)
    with tempfile.TemporaryFile() as new:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "landscape.files.format_one", name], stdin=raw, stdout=new,
                stderr=subprocess.PIPE, timeout=seconds, env={**os.environ, "PYTHONPATH": os.pathsep.join(above)},
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise Unusable("damaged", f"HDF5 found no end in it within {seconds:.0f} s") from None
        if done.returncode == -getattr(signal, "SIGXCPU", 0):
            raise Unusable("damaged", "HDF5 found no end in it")
        if done.returncode in _ENDS:
            raise Unusable(_ENDS[done.returncode], done.stderr.decode(errors="replace").strip()[:500])
        if done.returncode != 0:
            raise Unusable("damaged", "the process that read it died of it")
        yield read_tree_of(OnDisk(new), SEAL_SIZE)


def main() -> int:
    """Read the file at standard input with HDF5, and write it as one of today to standard output."""
    source, target = io.FileIO(0, closefd=False), io.FileIO(1, "r+", closefd=False)
    try:
        _limit(os.fstat(0).st_size)
        with contextlib.closing(io.BufferedRandom(target)) as sink:
            root = writer.begin(sink, SEAL_SIZE)
            _copy(source, root, sys.argv[1])
            writer.finish(root, sink, SEAL_SIZE)
    except Unusable as error:
        sys.stderr.write(str(error))
        return next(end for end, kind in _ENDS.items() if kind == error.kind)
    except Exception as error:
        # A damaged file makes HDF5 raise almost anything, and each means the same to whoever wanted to read it.
        sys.stderr.write(" ".join(str(error).split()) or type(error).__name__)
        return 3
    return 0


def _limit(size: int) -> None:
    import resource

    most = MEMORY + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seconds = math.ceil(time.process_time() + CPU_SECONDS + size / BYTES_PER_SECOND)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))


def _copy(source: IO[bytes], root: NewGroup, name: str) -> None:
    import h5py

    digest = hashlib.sha256()
    with h5py.File(source, "r") as file:
        _check_format(file, name)
        nodes: dict[str, Any] = {"/": file}
        _collect(file, "", nodes, set(), 0)
        for path in sorted(nodes):
            node = nodes[path]
            made: NewGroup | NewDataset
            if isinstance(node, h5py.Dataset):
                value = _value(node)
                feed(digest, path, value)
                made = root.create_dataset(path, data=value)
            else:
                feed(digest, path, b"group")
                made = root.require_group(path)
            for key in sorted(node.attrs):
                value = _attribute(node, key)
                made.attrs[key] = value
                if (path, key) != ("/", "sha256"):
                    feed(digest, f"{path}@{key}", value)
    root.attrs["sha256_holds"] = root.attrs.get("sha256") == digest.hexdigest()


def _check_format(file: Any, name: str) -> None:
    said, version = (_attribute(file, key) if key in file.attrs else None for key in ("format", "format_version"))
    said = said.decode(errors="replace") if isinstance(said, bytes) else said
    if said != name or version is None:
        raise Unusable("foreign", f"its format is {said!r}")
    if int(version) != 1:
        raise Unusable("newer", f"it has format version {int(version)}, and without a seal there is but version 1")


def _collect(group: Any, path: str, nodes: dict[str, Any], seen: set[Any], depth: int) -> None:
    """All objects below a group, each of which must have one name and be of a kind that our writers wrote."""
    from h5py import h5d, h5g, h5l, h5o, h5t

    if depth > MAX_DEPTH:
        raise ValueError("its groups are nested too deep")
    for name in group.id:
        if group.id.links.get_info(name).type != h5l.TYPE_HARD:
            raise ValueError("it has links to elsewhere")
        known = h5o.get_info(group.id, name)
        if known.addr in seen or known.rc != 1:
            raise ValueError("one of its objects has two names")
        seen.add(known.addr)
        if known.type not in (h5o.TYPE_GROUP, h5o.TYPE_DATASET):
            raise ValueError("it has a type of its own among its groups")
        at = f"{path}/{name.decode()}"
        node = nodes[at] = group[name]
        if isinstance(node.id, h5g.GroupID):
            _collect(node, at, nodes, seen, depth + 1)
            continue
        how = node.id.get_create_plist()
        if how.get_layout() not in (h5d.CONTIGUOUS, h5d.COMPACT) or how.get_external_count() or how.get_nfilters():
            raise ValueError("the values of a dataset do not stand in the file in one piece")
        kind = node.id.get_type()
        varies = kind.get_class() == h5t.STRING and kind.is_variable_str()  # its bytes stand elsewhere
        if not varies and node.id.get_storage_size() != node.size * kind.get_size():
            raise ValueError("a dataset is larger, or smaller, than the bytes that it has")


def _value(dataset: Any) -> Any:
    _check_type(dataset.id.get_type(), scalar=dataset.shape == ())
    value = dataset[()]
    return value if isinstance(value, bytes) or np.asarray(value).dtype.kind != "S" else bytes(value)


def _attribute(node: Any, key: str) -> Any:
    found = node.attrs.get_id(key)
    _check_type(found.get_type(), scalar=found.shape == ())
    value = node.attrs[key]
    return value if isinstance(value, (str, bytes)) or np.asarray(value).dtype.kind != "S" else bytes(value)


def _check_type(kind: Any, *, scalar: bool) -> None:
    from h5py import h5t

    known = (h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.COMPOUND, h5t.STRING)
    if kind.get_class() not in known or (kind.get_class() == h5t.STRING and not scalar):
        raise ValueError("it has a value of a type that no file of landscape has")


if __name__ == "__main__":
    raise SystemExit(main())
