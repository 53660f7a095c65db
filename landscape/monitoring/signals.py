"""A signal asks for a checkpoint: it is noted when it comes, and obeyed where the loop is between two steps."""

from __future__ import annotations

import signal
import threading
import warnings
from collections.abc import Iterable
from types import FrameType
from typing import Any

#: What Slurm and others send before they end a job, where the system has it.
DEFAULT = tuple(getattr(signal, name) for name in ("SIGUSR1",) if hasattr(signal, name))


class SignalWatch:
    """Notes signals while it is on, beside whoever listened before.

    Attributes
    ----------
    received : int or None
        The last signal that came.
    """

    def __init__(self, signals: Iterable[int]) -> None:
        self._signals = tuple(signals)
        self._before: dict[int, Any] = {}
        self._asked = False
        self.received: int | None = None

    def begin(self) -> None:
        """Listen."""
        if self._signals and threading.current_thread() is not threading.main_thread():
            warnings.warn(
                "signals reach the main thread alone, and this is another: no checkpoint is saved on a signal",
                RuntimeWarning,
                stacklevel=4,
            )
            return
        for number in self._signals:
            self._before[number] = signal.signal(number, self._note)

    def end(self) -> None:
        """Leave everything to whoever listened before."""
        for number, handler in self._before.items():
            # None: it was not set from Python, and cannot be.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def take(self) -> bool:
        """Whether one came since this was asked last."""
        asked, self._asked = self._asked, False
        return asked

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._asked, self.received = True, number
        before = self._before.get(number)
        if callable(before):
            before(number, frame)
