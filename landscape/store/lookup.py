"""Something asked for by name or by position: found, or a refusal that lists what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, overload

from landscape.errors import ResultsError

T = TypeVar("T")

#: Names that a message lists; of more it says how many there are.
MOST_NAMES = 12


class NoSuchName(ResultsError, KeyError):
    """Nothing of this name; a ``KeyError``, too."""

    __str__ = Exception.__str__  # a KeyError prints the quoted form of its message


class NoSuchPosition(ResultsError, IndexError):
    """Nothing at this position; an ``IndexError``, too."""


def by_name(found: Mapping[str, T], name: object, *, what: str, where: str) -> T:
    """The value of this name.

    Raises
    ------
    NoSuchName
        With the names that are close to it, or else those that there are.

    Examples
    --------
    >>> by_name({"adam-s0": 1, "sgd-s0": 2}, "adam-0", what="run", where="these")
    Traceback (most recent call last):
    landscape.store.lookup.NoSuchName: no run 'adam-0' in these; there are adam-s0, sgd-s0: did you mean adam-s0?
    """
    if isinstance(name, str) and name in found:
        return found[name]
    raise NoSuchName(f"no {what} {name!r} in {where}{suggestions(found, name)}")


@overload
def by_position(found: Sequence[T], key: int, *, what: str, where: str) -> T: ...
@overload
def by_position(found: Sequence[T], key: slice, *, what: str, where: str) -> tuple[T, ...]: ...
def by_position(found: Sequence[T], key: int | slice, *, what: str, where: str) -> T | tuple[T, ...]:
    """The value at this position, counted from the end where it is negative; of a slice, a tuple.

    Raises
    ------
    NoSuchPosition
        With how many there are.
    """
    if isinstance(key, slice):
        return tuple(found[key])
    try:
        return found[key]
    except IndexError:
        raise NoSuchPosition(f"no {what} at position {key} in {where}, which has {len(found)}") from None


def suggestions(names: Iterable[str], wrong: object) -> str:
    """The end of a message: names that are close to a wrong one, and those that there are."""
    listed = [name or "''" for name in names]
    if not listed:
        return "; there is none"
    close = difflib.get_close_matches(wrong, listed, n=3, cutoff=0.6) if isinstance(wrong, str) else []
    more = f", … and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    there = ", ".join(listed[:MOST_NAMES]) + more
    return f"; there are {there}" + (f": did you mean {' or '.join(close)}?" if close else "")
