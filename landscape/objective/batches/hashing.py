"""What things are made of, and SHA-256 of that: the same for equal things in every process, never an address."""

from __future__ import annotations

import hashlib
import sys
import types
import weakref
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.errors import ObjectiveError

ATOMS = (type(None), bool, int, float, complex, str, bytes)
#: Not looked into: they hold no data of a batch, or are behind it (a model, a parent that a part points back to).
_CLOSED = (
    *ATOMS, type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType, weakref.ref,
    np.ndarray, np.generic, Tensor, nn.Module, torch.dtype, torch.device, set, frozenset,
)  # fmt: skip


class Packed:
    """What stands for a part of a batch while its tensors are moved; it adds its own content to a digest."""

    def add_to(self, content: Content) -> None:
        """Add what this is made of."""
        raise NotImplementedError


def attributes_of(thing: Any) -> dict[str, Any]:
    """What an object has in its ``__dict__`` and its slots, by name."""
    try:
        found = dict(object.__getattribute__(thing, "__dict__"))
    except (AttributeError, TypeError):
        found = {}
    for kind in type(thing).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            inside = f"_{kind.__name__.lstrip('_')}{name}" if name[:2] == "__" and name[-2:] != "__" else name
            member = kind.__dict__.get(inside)
            if isinstance(member, types.MemberDescriptorType):
                try:
                    found[inside] = member.__get__(thing)
                except AttributeError:  # a slot that was never filled
                    continue
    return found


def parts_of(thing: Any) -> Iterator[tuple[Any, Any]]:
    """Named parts of a thing that is built of others: items, then attributes."""
    if isinstance(thing, _CLOSED):
        return
    if isinstance(thing, dict):
        yield from dict.items(thing)
    elif isinstance(thing, (list, tuple, deque)):
        yield from enumerate(thing)
    inside = attributes_of(thing)
    yield from inside.items()
    if not inside and isinstance(thing, Mapping) and not isinstance(thing, dict):
        yield from thing.items()


class Content:
    """SHA-256 of what is added, by value.

    Types are named, sets sorted, dictionaries taken in their order, attributes by name. Every fact is written with its
    length, so that no two things have one spelling.

    Parameters
    ----------
    holes : dict of int to int, optional
        ``id`` to number: what stands there is left out, and only its number written.
    """

    def __init__(self, holes: Mapping[int, int] | None = None) -> None:
        self._hash, self._holes = hashlib.sha256(), holes or {}
        self._above: list[int] = []  # a thing that holds itself is named by how far up it stands

    def hexdigest(self) -> str:
        """Of all that was added."""
        return self._hash.hexdigest()

    def fact(self, *facts: object) -> None:
        """Add short facts, whose ``str`` is what they are."""
        self.raw(*(str(fact).encode("utf-8", "surrogatepass") for fact in facts))

    def raw(self, *pieces: bytes) -> None:
        """Add bytes."""
        for piece in pieces:
            self._hash.update(f"{len(piece)}:".encode())
            self._hash.update(piece)

    def of_tensors(self, tensors: Iterable[Tensor]) -> str:
        """SHA-256 of dtype, shape and bytes of tensors, one behind the other, and of nothing else."""
        for tensor in tensors:
            self._hash.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
            self._hash.update(bytes_of(tensor))
        return self.hexdigest()

    def add(self, value: Any, where: str = "") -> None:
        """Add a thing.

        Raises
        ------
        ObjectiveError
            If it, or a part of it, has no value that another process would find again: a lambda, a lock, a stream.
        """
        if id(value) in self._holes:
            self.fact("hole", self._holes[id(value)])
        elif isinstance(value, Packed):
            value.add_to(self)
        elif type(value) in ATOMS:
            self.fact(type(value).__name__, repr(value))
        elif isinstance(value, Tensor):
            self._add_tensor(value, where)
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self.fact("array", value.dtype.str, value.shape)
            self.raw(value.tobytes())
        elif isinstance(value, np.generic):
            self.fact("number", value.dtype.str)
            self.raw(value.tobytes())
        elif isinstance(value, weakref.ref):
            self.fact("weak reference")
        elif isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
            self._add_named(value, where)
        elif id(value) in self._above:
            self.fact("again", len(self._above) - self._above.index(id(value)))
        else:
            self._above.append(id(value))
            self._add_built(value, where)
            self._above.pop()

    def _add_tensor(self, tensor: Tensor, where: str) -> None:
        plain = tensor.detach().cpu()
        if plain.is_nested:
            self._add_all("nested", plain.unbind(), where)
        elif plain.layout == torch.sparse_coo:
            plain = plain.coalesce()
            self._add_all(f"sparse {tuple(plain.shape)}", (plain.indices(), plain.values()), where)
        elif plain.layout in (torch.sparse_csr, torch.sparse_bsr):
            pieces = (plain.crow_indices(), plain.col_indices(), plain.values())
            self._add_all(f"{plain.layout} {tuple(plain.shape)}", pieces, where)
        elif plain.layout in (torch.sparse_csc, torch.sparse_bsc):
            pieces = (plain.ccol_indices(), plain.row_indices(), plain.values())
            self._add_all(f"{plain.layout} {tuple(plain.shape)}", pieces, where)
        elif plain.layout != torch.strided or plain.is_quantized:
            raise _without_value(tensor, where)
        else:
            self.fact("tensor", plain.dtype, tuple(plain.shape))
            self.raw(bytes_of(plain))

    def _add_named(self, value: Any, where: str) -> None:
        module, name = value.__module__ or "builtins", value.__qualname__
        if isinstance(value, types.FunctionType):
            found: Any = sys.modules.get(module)
            for step in name.split("."):
                found = getattr(found, step, None)
            if found is not value:
                raise _without_value(value, where)
        self.fact("name", _main(module), name)

    def _add_all(self, tag: str, parts: Any, where: str) -> None:
        parts = list(parts)
        self.fact(tag, len(parts))
        for index, part in enumerate(parts):
            self.add(part, f"{where}[{index}]")

    def _add_built(self, value: Any, where: str) -> None:
        kind = type(value)
        if kind in (tuple, list):
            self._add_all("row", value, where)  # one as good as the other: a loader makes lists of what were tuples
            return
        self.fact(_main(kind.__module__), kind.__qualname__)
        if isinstance(value, (set, frozenset)):
            self.fact(*sorted(self._alone(element, where) for element in value))
        elif isinstance(value, (dict, list, tuple, deque)):
            if isinstance(value, dict):
                keys, items = list(dict.keys(value)), list(dict.values(value))
                self._add_all("keys", keys, where)
                self._add_all("items", items, where)
            else:
                self._add_all("items", value, where)
            self._add_attributes(attributes_of(value), where)
        elif isinstance(value, ATOMS):
            base: Any = next(atom for atom in reversed(ATOMS) if isinstance(value, atom))
            self.fact(base.__repr__(value))
            self._add_attributes(attributes_of(value), where)
        elif _is_its_attributes(value):
            self._add_attributes(attributes_of(value), where)
        else:
            self._add_reduced(value, where)

    def _add_attributes(self, attributes: dict[str, Any], where: str) -> None:
        self.fact(len(attributes))
        for name in sorted(attributes):
            self.fact(name)
            self.add(attributes[name], f"{where}.{name}")

    def _add_reduced(self, value: Any, where: str) -> None:
        """By what pickle would ask of it: for types written in C, and those that define it themselves."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception:
            raise _without_value(value, where) from None
        if isinstance(reduced, str):
            self.fact(reduced)
            return
        made, arguments, *rest = reduced
        self.add(made, where)
        self.add(arguments, where)
        for more in rest:
            self.add(list(more) if isinstance(more, Iterator) else more, where)

    def _alone(self, value: Any, where: str) -> str:
        content = Content(self._holes)
        content.add(value, where)
        return content.hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of one thing; raises as :meth:`Content.add` does."""
    content = Content()
    content.add(value)
    return content.hexdigest()


def bytes_of(tensor: Tensor) -> bytes:
    """The numbers of a strided tensor, in order."""
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    return bytes(plain.reshape(-1).view(torch.uint8).numpy())


def _is_its_attributes(value: Any) -> bool:
    """Whether attributes are all there is: nothing of its own in C, and no account of itself for pickle."""
    kind: Any = type(value)
    if kind.__reduce_ex__ is not object.__reduce_ex__ or kind.__reduce__ is not object.__reduce__:
        return False
    if getattr(kind, "__getstate__", None) not in (None, getattr(object, "__getstate__", None)):
        return False
    try:
        value.__reduce_ex__(4)
    except Exception:  # what stands in C would be missed
        return False
    return True


def _main(module: str) -> str:
    """A script's own module has another name in the processes that it starts."""
    return "__main__" if module == "__mp_main__" else module


def _without_value(value: Any, where: str) -> ObjectiveError:
    place = f" (at {where})" if where else ""
    return ObjectiveError(
        f"the data hold a {type(value).__name__}{place}, which has no value that could be found again in another "
        "process, so these data cannot be told from others. Leave it out of the batches, or make it numbers or text"
    )
