"""How a long function reports its progress: the one way for all rooms."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

#: ``progress(done, in all)`` in whatever the function counts: matvecs, points, gradients, steps. What is done only
#: grows; the second is the most that it may take, of which an iteration that converges may leave some.
Progress = Callable[[int, int], None]

#: What is begun, in a few words, and which share of it is done, where that can be told.
Listener = Callable[[str, float], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Within the block, ``listener(text, share)`` is told what is begun where nothing can be counted.

    >>> with listening(lambda text, share: print(text, share)):
    ...     say("checking derivatives")
    checking derivatives 0.0
    """
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def say(text: str, share: float = 0.0) -> None:
    """Tell who listens what is begun, in a few words; again with the share that is done, where that can be told."""
    listener = _listener.get()
    if listener is not None:
        listener(text, share)
