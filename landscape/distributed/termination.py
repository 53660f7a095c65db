"""Told to end by SIGTERM, a rank lingers for a moment, in which it may hear why.

``torchrun`` ends all ranks as soon as it sees that one is gone, often before they have heard so and said which it was.
The signal is noted by C, whatever the main thread waits for, and a thread ends the process a moment later.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from types import FrameType

#: Seconds from the signal to the end, and the exit status that shells give to it.
MOMENT, STATUS = 1.0, 128 + signal.SIGTERM
_told: socket.socket | None = None
_masks: list[set[int]] = []


def linger() -> None:
    """From now on, where nobody else heeds the signal, and this is the main thread, which alone may heed it."""
    global _told
    is_main = threading.current_thread() is threading.main_thread()
    if _told is not None or not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    if before != -1:  # an event loop has its own
        signal.set_wakeup_fd(before)
        return
    _told = told
    signal.signal(signal.SIGTERM, _noted)
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_forget)
    threading.Thread(target=_end_when_told, args=(heard,), daemon=True).start()


def _noted(number: int, frame: FrameType | None) -> None:
    """Nothing: C has written the number down."""


def _end_when_told(heard: socket.socket) -> None:
    while numbers := heard.recv(64):
        if signal.SIGTERM in numbers and signal.getsignal(signal.SIGTERM) is _noted:
            time.sleep(MOMENT)
            os._exit(STATUS)


def _hold() -> None:
    """A child that is told before it has forgotten would have this process end; it is told when it has."""
    _masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}))


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.pop())


def _forget() -> None:
    """In a process that was forked, such as one that loads data, the signal ends it as ever."""
    global _told
    if _told is not None and signal.getsignal(signal.SIGTERM) is _noted:
        with contextlib.suppress(ValueError):  # it was another thread that forked
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _told = None
    _release()
