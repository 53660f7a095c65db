"""Files that are sealed and say nonsense, or hold what HDF5 can and our files never do."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from landscape.files import SEAL_SIZE, Dataset, Group, NewGroup, reading, writing
from tests.support.fuzzing import resealed

Tree = dict[
    str, Any
]  # {"attrs": …, "value": array or text} of a dataset, {"attrs": …, "below": {name: Tree}} of a group
WRONG_JSON = [
    '"text"', "[1, 2]", "7", "null", "true", "{}", "[]", '{"a": ', "[" * 100_000, "1" * 10_000,
    '{"train_loss": "text"}', "\\ud800", "NaN",
    '{"train_loss": [1], "accuracy_per_class": {}, "seed": "x", "label": [1], "optimizer": 3, "lr": {}}',
]  # fmt: skip
WRONG_ARRAYS = [
    np.zeros(3, "i8"), np.zeros((2, 2), "c16"), np.zeros((), "?"), np.zeros((0, 2**40)), np.zeros(5, ">f8"),
    np.full(4, np.nan, "f2"), "a text", np.zeros((3, 3), "f4"),
]  # fmt: skip
WRONG_ATTRIBUTES = ["a text", "", -1, 2**62, 0.5, float("nan"), True, np.arange(3), "load", "float32", "quint8"]


def tree_of(path: Path, name: str) -> Tree:
    """A sealed file as plain data."""
    with reading(path, name, 99) as file:
        return _plain(file.tree())


def _plain(node: Group | Dataset) -> Tree:
    if isinstance(node, Dataset):
        return {"attrs": dict(node.attrs), "value": node.text() if node.is_text else node[()]}
    return {"attrs": dict(node.attrs), "below": {name: _plain(part) for name, part in node.items()}}


def written(path: Path, title: str, tree: Tree) -> bytes:
    """The bytes of a sealed file with this content."""
    with writing(path, path.with_suffix(".tmp"), title) as root:
        _fill(root, tree)
    return path.read_bytes()


def _fill(group: NewGroup, tree: Tree) -> None:
    group.attrs |= tree["attrs"]
    for name, part in tree["below"].items():
        if "below" in part:
            _fill(group.create_group(name), part)
        else:
            group.create_dataset(name, data=part["value"]).attrs |= part["attrs"]


def _nodes(tree: Tree, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, part in tree.get("below", {}).items():
        yield (*path, name)
        yield from _nodes(part, (*path, name))


def _at(tree: Tree, path: tuple[str, ...]) -> Tree:
    for name in path:
        tree = tree["below"][name]
    return tree


def nonsense(tree: Tree) -> Iterator[Tree]:
    """The content with one piece missing, or of another kind, or of another size."""

    def changed(change: Callable[[Tree], object]) -> Tree:
        again = copy.deepcopy(tree)
        change(again)
        return again

    for path in [(), *_nodes(tree)]:
        node = _at(tree, path)
        if path:
            yield changed(lambda t, p=path: _at(t, p[:-1])["below"].pop(p[-1]))
            yield changed(lambda t, p=path: _at(t, p[:-1])["below"].update({p[-1]: {"attrs": {}, "below": {}}}))
        for key in node["attrs"]:
            yield changed(lambda t, p=path, k=key: _at(t, p)["attrs"].pop(k))
            for value in WRONG_ATTRIBUTES:
                yield changed(lambda t, p=path, k=key, v=value: _at(t, p)["attrs"].update({k: v}))
        if isinstance(node.get("value"), str):
            for text in [*WRONG_JSON, *_wrong_values(node["value"])]:
                yield changed(lambda t, p=path, v=text: _at(t, p).update(value=v))
        if "value" in node:
            for array in WRONG_ARRAYS:
                yield changed(lambda t, p=path, v=array: _at(t, p).update(value=v))


def _wrong_values(text: str) -> Iterator[str]:
    """The JSON with one of its values of another kind, or gone."""
    said = json.loads(text)
    if not isinstance(said, dict):
        return
    for key, value in said.items():
        for other in ("text", [1], {"$float": "x"}, {"a": {}}, True, None, 10**400, {"$tuple": [1, [2]]}):
            yield json.dumps({**said, key: other})
        yield json.dumps({k: v for k, v in said.items() if k != key})
        if isinstance(value, dict):
            for inner in _wrong_values(json.dumps(value)):
                yield json.dumps({**said, key: json.loads(inner)})


def rewired(content: bytes) -> Iterator[bytes]:
    """The file with one number of its headers changed: addresses of other things, sizes beyond the file, and so on."""
    headers = [at for at in range(SEAL_SIZE, len(content) - 4) if content[at : at + 4] == b"OHDR"]
    addresses = [at - SEAL_SIZE for at in headers]
    targets = [addresses[0], addresses[-1], 0, 48, len(content) - SEAL_SIZE, 2**40, 2**64 - 1]
    for at in headers:
        (size,) = struct.unpack("<I", content[at + 6 : at + 10])
        place = at + 10
        while place < at + 10 + size:
            kind, length = struct.unpack("<BH", content[place : place + 3])
            body, end = place + 4, place + 4 + length
            if kind == 6:  # a link: its address stands at the end
                for target in targets:
                    yield content[: end - 8] + struct.pack("<Q", target) + content[end:]
            if kind == 8:  # address and size of the values
                for target in (48, addresses[-1], 2**63):
                    yield content[: body + 2] + struct.pack("<Q", target) + content[body + 10 :]
                yield content[: body + 10] + struct.pack("<Q", 10**12) + content[end:]
            if kind == 1 and length > 4:  # the shape, alone and with the size of the values
                yield content[: body + 4] + struct.pack("<Q", 10**12) + content[body + 12 :]
            place = end


def by_hdf5(folder: Path, title: str, name: str) -> bytes:
    """A file as HDF5's library writes it, with one of the things it can do, sealed."""
    secret, path = folder / "secret.bin", folder / "trick.h5"
    secret.write_bytes(b"\1" * 800)
    with h5py.File(path, "w", libver="latest", userblock_size=SEAL_SIZE) as file:
        TRICKS[name](file, secret)
    return resealed(title.encode() + b" " + path.read_bytes()[len(title) + 1 :])


def _deep(file: h5py.File, _: Path) -> None:
    group = file
    for _level in range(10_000):
        group = group.create_group("a")


def _virtual(file: h5py.File, _: Path) -> None:
    layout = h5py.VirtualLayout(shape=(4,), dtype="f8")
    layout[:] = h5py.VirtualSource(".", "loop", shape=(4,))
    file.create_virtual_dataset("loop", layout)


def _external(file: h5py.File, secret: Path) -> None:
    file.create_dataset("params/w", shape=(100,), dtype="f8", external=[(str(secret), 0, 800)])


TRICKS: dict[str, Callable[[h5py.File, Path], object]] = {
    "external link": lambda f, s: f.__setitem__("params", h5py.ExternalLink(str(s), "/")),
    "external storage": _external,
    "virtual dataset of itself": _virtual,
    "soft link": lambda f, _: f.__setitem__("params", h5py.SoftLink("/nowhere")),
    "soft link to itself": lambda f, _: f.__setitem__("params", h5py.SoftLink("/params")),
    "cycle": lambda f, _: f.create_group("params").__setitem__("again", f),
    "two names": lambda f, _: (f.create_dataset("a", data=np.arange(3)), f.__setitem__("b", f["a"])),
    "committed type": lambda f, _: f.__setitem__("params", np.dtype("f8")),
    "filter": lambda f, _: f.create_dataset("a", data=np.zeros(10**6), compression="gzip"),
    "chunks of 1e12": lambda f, _: f.create_dataset("a", shape=(10**12,), dtype="f8", chunks=(10**6,)),
    "late 1e12": lambda f, _: f.create_dataset("a", shape=(10**12,), dtype="f8"),
    "text of any length": lambda f, _: f.create_dataset("metrics", data="{}", dtype=h5py.string_dtype()),
    "references": lambda f, _: f.create_dataset("a", data=f["/"].ref, dtype=h5py.ref_dtype),
    "empty": lambda f, _: f.create_dataset("a", data=h5py.Empty("f8")),
    "many attributes": lambda f, _: [f.attrs.__setitem__(f"a{i}", i) for i in range(100)],
    "10,000 groups in each other": _deep,
}


def first_format(folder: Path, original: Path) -> Iterator[tuple[str, bytes]]:
    """The same in checkpoints of the first format, which HDF5's library reads, in a whole one of them."""
    secret = folder / "secret.bin"
    secret.write_bytes(b"\1" * 800)
    for name, make in TRICKS.items():
        path = folder / "first.h5"
        path.write_bytes(original.read_bytes())
        with h5py.File(path, "r+") as file:
            make(file.create_group("more"), secret)
        yield name, path.read_bytes()
