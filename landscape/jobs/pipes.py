"""Messages over the pipes between a process and its worker: a length, then the pickle of plain data."""

from __future__ import annotations

import pickle
import struct
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">Q")


def send(pipe: BinaryIO, message: object) -> None:
    """Write one message.

    Raises
    ------
    BrokenPipeError
        If nobody listens any more.
    Exception
        If the message cannot be pickled; nothing is written then.
    """
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(_LENGTH.pack(len(content)) + content)
    pipe.flush()


def receive(pipe: BinaryIO) -> bytes | None:
    """The next message, still pickled; None at the end, also where it was cut off by a death."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (size,) = _LENGTH.unpack(head)
    content = pipe.read(size)
    return content if len(content) == size else None


def opened(content: bytes) -> Any:
    """What a message says. Both ends are the same program of the same user, so nothing foreign is unpickled."""
    return pickle.loads(content)
