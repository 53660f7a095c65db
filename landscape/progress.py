"""How a long function reports its progress: the one way for all rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: ``progress(done, in all)`` in whatever the function counts: matvecs, points, gradients, steps. What is done only
#: grows; the second is the most that it may take, of which an iteration that converges may leave some.
Progress = Callable[[int, int], None]

_listener: ContextVar[Callable[[str], None] | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Within the block, ``listener(text)`` is told what is begun where nothing can be counted: "reading the data".

    >>> with listening(print):
    ...     say("checking derivatives")
    checking derivatives
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def say(text: str) -> None:
    """Tell who listens what is begun, in a few words."""
    listener = _listener.get()
    if listener is not None:
        listener(text)
