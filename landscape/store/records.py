"""One record <-> one HDF5 group. Arrays are datasets, bit for bit; class and all other fields are one JSON text.

The class of a record is looked up by name among the records of :mod:`landscape.results`; a file can name nothing else.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import numpy as np

from landscape import results
from landscape.errors import UsageError
from landscape.files import Dataset, Group, NewGroup
from landscape.results import Record
from landscape.store.record_shapes import check_name, check_record

RECORD = "record"
PROVENANCE = "provenance"
# JSON has no NaN, no infinity and no tuple; each is an object of one tagged key.
_FLOAT, _TUPLE = "$float", "$tuple"


def write_json(group: NewGroup, name: str, value: Any) -> None:
    """Store a JSON value as a dataset of ASCII text: no size limit, unlike an attribute."""
    group.create_dataset(name, data=dump(value))


def read_json(group: Group, name: str) -> dict[str, Any]:
    """The dict that :func:`write_json` stored.

    Raises
    ------
    ValueError
        If it is something else.
    """
    value = load(group.dataset(name).text())
    if not isinstance(value, dict):
        raise ValueError(f"{name!r} is a {type(value).__name__} where a dict belongs")
    return value


def write_record(group: NewGroup, record: Record) -> None:
    """Fill an empty group with a record; nested records are subgroups.

    Raises
    ------
    UsageError
        If the record is not one of ``landscape.results`` or a field holds what the format has no place for.
    """
    kind = type(record).__name__
    if not dataclasses.is_dataclass(record) or _record_classes().get(kind) is not type(record):
        raise UsageError(f"{kind} is not a record of landscape.results ({', '.join(_record_classes())})")
    plain, arrays, records = {}, [], []
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Record):
            write_record(group.create_group(field.name), value)
            records.append(field.name)
        elif isinstance(value, np.ndarray):
            if value.dtype.kind not in "biufc" or value.dtype.itemsize > (16 if value.dtype.kind == "c" else 8):
                raise UsageError(f"{kind}.{field.name} is an array of {value.dtype}; records hold numbers and booleans")
            group.create_dataset(field.name, data=value)
            arrays.append(field.name)
        else:
            plain[field.name] = _checked_plain(value, f"{kind}.{field.name}")
    write_json(group, RECORD, {"class": kind, "fields": plain, "arrays": arrays, "records": records})


def read_record(group: Group, *, vectors: bool = True) -> Record:
    """The record of a group, exactly as it was written; ``vectors=False`` reads eigenvectors (P, K) as (P, 0).

    A field that this version knows and the file does not takes its default.

    Raises
    ------
    ValueError
        If a field is missing, unknown, or not of the type or shape that its class declares.
    """
    said = read_json(group, RECORD)
    kind = _record_classes().get(said["class"]) if isinstance(said["class"], str) else None
    if kind is None:
        raise ValueError(f"it names a record class {said['class']!r} that does not exist")
    values = dict(said["fields"])
    for name in said["records"]:
        values[name] = read_record(group.group(name), vectors=vectors)
    for name in said["arrays"]:
        item = group.dataset(name)
        unread = name == "vectors" and not vectors and len(item.shape) == 2
        values[name] = np.empty((item.shape[0], 0), item.dtype) if unread else item[()]
    if len(values) != len(said["fields"]) + len(said["records"]) + len(said["arrays"]):
        raise ValueError(f"two things are one field of its {kind.__name__}")
    check_record(kind, values)
    return kind(**values)


def write_entry(file: NewGroup, entry: str, value: Any) -> None:
    """Store a description (a dict) or a ``(record, provenance)`` at its address."""
    parent, _, leaf = entry.rpartition("/")
    above = file.require_group(parent)
    if isinstance(value, dict):
        write_json(above, leaf, value)
        return
    record, provenance = value
    group = above.create_group(leaf)
    write_record(group, record)
    write_json(group, PROVENANCE, provenance)


def read_entry(file: Group, entry: str, *, vectors: bool = True) -> Any:
    """The value that :func:`write_entry` stored.

    Raises
    ------
    LookupError, ValueError, TypeError
        If there is something else.
    """
    parent, _, leaf = entry.rpartition("/")
    above = file.group(parent) if parent else file
    if isinstance(above[leaf], Dataset):
        return read_json(above, leaf)
    group = above.group(leaf)
    record = read_record(group, vectors=vectors)
    if entry.startswith("pairs/"):
        check_name("line_between_minima", record)
    else:
        check_name(leaf, record)
    return record, read_json(group, PROVENANCE)


def dump(value: Any) -> str:
    """Canonical strict JSON: sorted keys, ASCII, NaN and infinities as tagged objects; equal values, equal text."""
    return json.dumps(_to_json(value), sort_keys=True, allow_nan=False, separators=(",", ":"))


def load(text: str) -> Any:
    """The value of :func:`dump`."""
    return json.loads(text, object_hook=_from_tag)


def _record_classes() -> dict[str, type[Record]]:
    members = ((name, getattr(results, name)) for name in results.__all__)
    return {name: cls for name, cls in members if issubclass(cls, Record) and cls is not Record}


def _checked_plain(value: Any, where: str) -> Any:
    """A plain field with its tuples tagged, so that they come back as tuples."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple):
        return {_TUPLE: [_checked_plain(v, where) for v in value]}
    raise UsageError(f"{where} is a {type(value).__name__}; a record holds arrays, numbers, text, tuples and records")


def _to_json(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: str(float(value))}
    if isinstance(value, dict):
        return {str(k): _to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_json(v) for v in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)  # paths, dtypes and the like, as people write them


def _from_tag(item: dict[str, Any]) -> Any:
    if len(item) == 1:
        if _FLOAT in item:
            return float(item[_FLOAT])
        if _TUPLE in item:
            return tuple(item[_TUPLE])
    return item
