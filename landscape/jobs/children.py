"""Calls in a process below the one that is asked, as by a worker of somebody else's: a crash there costs that call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from landscape.jobs.exit_reasons import Advice
from landscape.jobs.local import LocalExecutor

#: Seconds after which a process that has nothing to do is let go; it may hold models and data.
IDLE = 60.0
#: Calls side by side: as many as whoever asks makes.
_MANY = 1024
_ADVICE = Advice(memory="workers with more memory, or fewer on a machine, help")


class Children:
    """Processes below this one, as many as there are calls at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._executor: LocalExecutor | None = None
        self._timer: threading.Timer | None = None
        self._calls = 0

    def call(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Have a call made and wait for what it returns.

        Raises
        ------
        ProcessDied
            If the process ended before.
        """
        with self._lock:
            self._calls += 1
            if self._timer is not None:
                self._timer.cancel()
            if self._executor is None:
                self._executor = LocalExecutor(_MANY, advice=_ADVICE)
            future = self._executor.submit(function, *args)
        try:
            return future.result()
        finally:
            with self._lock:
                self._calls -= 1
                if not self._calls:
                    self._timer = threading.Timer(IDLE, self._let_go)
                    self._timer.daemon = True
                    self._timer.start()

    def _let_go(self) -> None:
        with self._lock:
            if self._calls or self._executor is None:
                return
            self._executor.shutdown(wait=False)
            self._executor = None


_children = Children()


def call_in_child(function: Callable[..., Any], /, *args: Any) -> Any:
    """As :meth:`Children.call`, by those of this process."""
    return _children.call(function, *args)
