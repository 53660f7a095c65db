"""What all ranks decide alike: rank 0's choices, an error of any of them, and whether they hold the same."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, TypeVar

from landscape.distributed.group import Group, alone, current
from landscape.errors import ForeignError, LandscapeError, in_one_line

T = TypeVar("T")


class OnAnotherRankError(Exception):
    """Where an error arose that is raised on all ranks."""


def agreed(value: T, what: str) -> T:
    """What rank 0 passes, on every rank: of whatever may differ by chance, such as a time."""
    group = current()
    return value if group is None else group.of_first(value, what)


def by_first(function: Callable[[], T], what: str) -> T:
    """What a function gives on rank 0, which alone calls it; what it raises there is raised on every rank.

    Within it, nothing is measured together: the others wait for its value.
    """
    group = current()
    if group is None:
        return function()
    error: Exception | None = None
    outcome: tuple[Any, Exception | None] = (None, None)
    if group.is_first:
        try:
            with alone():
                outcome = (function(), None)
        except Exception as raised:
            error, outcome = raised, (None, portable(raised))
    value, elsewhere = group.of_first(outcome, what)
    if error is not None:
        raise error
    if elsewhere is not None:
        raise elsewhere from OnAnotherRankError("on rank 0")
    return value  # type: ignore[no-any-return]


def together(error: Exception | None, what: str) -> None:
    """Raise what any rank has met, on every rank: the error of the first that has one.

    Every rank must come here, with its error or without.
    """
    group = current()
    if group is not None:
        raise_first(group, error, what)
    elif error is not None:
        raise error


def on_all_ranks(build: Callable[[], T], what: str) -> T:
    """What every rank makes by itself; an error that one meets is raised on all of them."""
    if current() is None:
        return build()
    made: T | None = None
    error: Exception | None = None
    try:
        made = build()
    except Exception as raised:
        error = raised
    together(error, what)
    return made  # type: ignore[return-value]


def raise_first(group: Group, error: Exception | None, what: str) -> None:
    """As :func:`together`, of a group."""
    found = group.all(None if error is None else portable(error), what)
    rank = next((rank for rank, one in enumerate(found) if one is not None), None)
    if rank is None:
        return
    if rank == group.rank and error is not None:
        raise error
    raise found[rank] from OnAnotherRankError(f"on rank {rank}")


def check_same(value: str, what: str, hint: str) -> None:
    """Refuse to go on where ranks differ in something, such as a hash of what they hold.

    Raises
    ------
    LandscapeError
        On every rank, with the first one that differs from rank 0.
    """
    group = current()
    if group is None:
        return
    found = group.all(value, f"a comparison of {what}")
    other = next((rank for rank, one in enumerate(found) if one != found[0]), None)
    if other is not None:
        raise LandscapeError(f"rank {other} has other {what} than rank 0. {hint}")


def is_first() -> bool:
    """Whether this process prints, writes and draws: rank 0, or one that measures by itself."""
    group = current()
    return group is None or group.is_first


def portable(error: Exception) -> Exception:
    """The error as others can raise it: itself where it passes from process to process."""
    try:
        again = pickle.loads(pickle.dumps(error))
        return error if type(again) is type(error) and str(again) == str(error) else ForeignError(in_one_line(error))
    except Exception:
        return error if type(error) is LandscapeError else ForeignError(in_one_line(error))
