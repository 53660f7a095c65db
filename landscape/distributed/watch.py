"""Whether the other ranks are still there: where one is not, this one ends too, within seconds and with its reason.

Rank 0 holds a connection to each of the others. One that dies closes it, however it dies, and rank 0 hears so while it
waits in a collective that would never end; it says why, tells the others and ends, and so do they. A rank that leaves
by an error sends its reason first. NCCL itself does not notice a process that is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from landscape.distributed.termination import linger

#: Seconds after which a rank that waits says for what; after which one that has left is missed; for one connection.
SAY_AFTER, MISSED_AFTER, CONNECTING = 5.0, 10.0, 10.0
STATUS = 2
_POLL = 0.5


@dataclass
class Waiting:
    """In which collective the main thread is, if it is in one.

    Attributes
    ----------
    count : int
        Collectives begun.
    kind : str
        Of the one that is waited for; empty outside.
    since : float
    """

    count: int = 0
    kind: str = ""
    since: float = 0.0

    def long(self, seconds: float) -> str:
        """``"count kind"`` of what has been waited for so long, else nothing."""
        kind, since, count = self.kind, self.since, self.count
        return f"{count} {kind}" if kind and time.monotonic() - since > seconds else ""


@dataclass
class Watch:
    """One rank's end of the connections between all and rank 0.

    Attributes
    ----------
    rank, world : int
    waiting : Waiting
        Kept by whoever makes collectives.
    """

    rank: int
    world: int
    waiting: Waiting = field(default_factory=Waiting)
    _links: dict[int, _Link] = field(default_factory=dict)
    _left: dict[int, float] = field(default_factory=dict)
    _states: dict[int, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_closed: bool = False

    @property
    def left(self) -> list[int]:
        """Ranks that have ended without an error, as far as this one knows."""
        return list(self._left)

    def begin(self) -> None:
        """Listen to every connection in a thread of its own, none of which keeps the process from ending."""
        linger()
        for other, link in self._links.items():
            threading.Thread(target=self._listen, args=(other, link), daemon=True).start()
        threading.Thread(target=self._look, daemon=True).start()

    def leave(self, reason: str = "") -> None:
        """Say good-bye: with a reason, the others end for it; without, only if they still wait for this one."""
        if self._is_closed:
            return
        self._is_closed = True
        for link in self._links.values():
            link.send(["failed", self.rank, reason] if reason else ["bye", self.rank])
            link.close()

    def _listen(self, other: int, link: _Link) -> None:
        while (message := link.receive()) is not None:
            kind, rank, *said = message
            if kind == "bye":
                self._left[rank] = time.monotonic()
                return
            if kind == "failed":
                self.end(f"rank {rank} of {self.world} ended: {said[0]}", said_by=rank, is_said=rank == 0)
            if kind == "ended":  # rank 0 has said why
                self.end(said[0], is_said=True)
            if kind == "waits":
                self._states[rank] = said[0]
        self.end(f"rank {other} of {self.world} is gone: its process was killed, or has crashed", said_by=other)

    def _look(self) -> None:
        """Now and then: whether those who have left are waited for, and whether all wait for the same."""
        while not self._is_closed:
            time.sleep(_POLL)
            mine = self.waiting.long(SAY_AFTER)
            for rank, at in list(self._left.items()):
                if self.waiting.long(MISSED_AFTER) and time.monotonic() - at > MISSED_AFTER:
                    self.end(f"rank {rank} of {self.world} has left, and the others wait for it", said_by=rank)
            if self.rank:
                for link in self._links.values():
                    link.send(["waits", self.rank, mine])
                continue
            for rank, state in list(self._states.items()):
                if mine and state and state != mine:
                    self.end(
                        f"the ranks came apart: rank {rank} waits for {_shown(state)} while rank 0 waits for "
                        f"{_shown(mine)}. Every rank must make the same calls in the same order, and an error that one "
                        "alone met must not be passed over there"
                    )

    def end(self, reason: str, *, said_by: int = -1, is_said: bool = False) -> None:
        """End this process, after the others have been told why; one of them says it."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            for other, link in self._links.items():
                if not self.rank and other != said_by:
                    link.send(["ended", 0, reason])
            # Where rank 0 is gone, nobody tells the others; the next one says it for all.
            if not is_said and (self.rank == 0 or (said_by == 0 and self.rank == 1)):
                with contextlib.suppress(OSError, ValueError):
                    sys.stdout.flush()
                    os.write(2, f"landscape: {' '.join(reason.split())}\n".encode())
            # The main thread waits in a collective that will not end, where no exception reaches it.
            os._exit(STATUS)


class _Link:
    """Messages over a connection, each a line of JSON."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection, self._stream = connection, connection.makefile("rb")
        self._lock = threading.Lock()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 5), ("TCP_KEEPINTVL", 2), ("TCP_KEEPCNT", 3)):
            if hasattr(socket, name):  # a machine that loses its power sends no end
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, message: list[Any]) -> None:
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Any] | None:
        try:
            line = self._stream.readline()
            return list(json.loads(line)) if line else None
        except (OSError, ValueError):
            return None

    def settle(self) -> None:
        """The other end is known: from now on it may be silent for as long as it likes."""
        self._connection.settimeout(None)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)


def connected(rank: int, world: int, share: Callable[[Any], list[Any]], *, address: str) -> Watch:
    """The watch of this rank, connected; where no connection can be made, one that hears nothing.

    Parameters
    ----------
    share : callable
        Gives every rank what all of them passed, in their order.
    address : str
        Where rank 0 may be reached, beside the names of its machine.
    """
    watch = Watch(rank, world)
    host, listener, token = socket.gethostname(), None, secrets.token_hex(16)
    hosts = share(host)
    if rank == 0:
        listener = socket.socket()
        # Only where ranks are on other machines, others are let in, and have to know the token.
        listener.bind(("127.0.0.1" if len(set(hosts)) == 1 else "", 0))
        listener.listen(world)
    port, token = share((listener.getsockname()[1] if listener else 0, token))[0]
    if listener is not None:
        watch._links |= _accepted(listener, token, world)
    else:
        places = ["127.0.0.1"] if hosts[0] == host else [address, hosts[0], socket.getfqdn(hosts[0])]
        link = _reached([place for place in places if place], port, token, rank)
        watch._links |= {} if link is None else {0: link}
    share(None)  # nobody goes on before all are connected
    watch.begin()
    return watch


def _accepted(listener: socket.socket, token: str, world: int) -> dict[int, _Link]:
    found: dict[int, _Link] = {}
    deadline = time.monotonic() + CONNECTING
    with listener:
        while len(found) < world - 1 and (left := deadline - time.monotonic()) > 0:
            listener.settimeout(left)
            try:
                connection, _ = listener.accept()
                connection.settimeout(CONNECTING)
            except OSError:
                break
            link = _Link(connection)
            message = link.receive()
            if message and len(message) == 2 and secrets.compare_digest(str(message[0]), token):
                link.settle()
                found[int(message[1])] = link
    return found


def _reached(places: Sequence[str], port: int, token: str, rank: int) -> _Link | None:
    for place in places:
        with contextlib.suppress(OSError):
            link = _Link(socket.create_connection((place, port), timeout=CONNECTING / len(places)))
            link.send([token, rank])
            link.settle()
            return link
    return None


def _shown(state: str) -> str:
    count, _, kind = state.partition(" ")
    return f"{kind} (its {count}th exchange)"
