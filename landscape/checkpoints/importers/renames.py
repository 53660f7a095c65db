"""The one change of names that would make the tensors of a file fit a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Shape = tuple[int, ...]


def renamed(name: str, old: str, new: str) -> str:
    """A name with a run of its parts replaced by another, wherever it stands.

    >>> renamed("net.fc.weight", "fc", "head"), renamed("fc10.weight", "fc1", "head")
    ('net.head.weight', 'fc10.weight')
    """
    parts, wanted, to = name.split("."), old.split("."), [part for part in new.split(".") if part]
    found: list[str] = []
    at = 0
    while at < len(parts):
        if old and parts[at : at + len(wanted)] == wanted:
            found += to
            at += len(wanted)
        else:
            found.append(parts[at])
            at += 1
    return ".".join(found)


def one_rename(unplaced: Mapping[str, Shape], missing: Mapping[str, Shape]) -> tuple[str, str] | None:
    """``(old, new)`` that gives every tensor that is missing a partner of its shape; None where no one change does.

    >>> one_rename({"fc.weight": (3, 2), "fc.bias": (3,)}, {"head.weight": (3, 2), "head.bias": (3,)})
    ('fc', 'head')
    """
    if not missing or len(unplaced) < len(missing):
        return None
    name, shape = next(iter(missing.items()))
    tried = set()
    for key, other in unplaced.items():
        if other != shape:
            continue
        for pair in _changes(key, name):
            if pair in tried:
                continue
            tried.add(pair)
            given = {renamed(key, *pair): shape for key, shape in unplaced.items()}
            if all(given.get(name) == shape for name, shape in missing.items()):
                return pair
    return None


def _changes(key: str, name: str) -> Iterator[tuple[str, str]]:
    """Changes of parts that make one name of another, the shortest first."""
    a, b = key.split("."), name.split(".")
    front = 0
    while front < min(len(a), len(b)) and a[front] == b[front]:
        front += 1
    back = 0
    while back < min(len(a), len(b)) - front and a[-1 - back] == b[-1 - back]:
        back += 1
    # A part that is put in or taken out needs a neighbour to hold on to.
    for more_front, more_back in ((0, 0), (1, 0), (0, 1)):
        start, end = front - more_front, back - more_back
        if start < 0 or end < 0:
            continue
        old, new = a[start : len(a) - end], b[start : len(b) - end]
        if old and new and old != new:
            yield ".".join(old), ".".join(new)
