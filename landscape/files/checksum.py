"""The checksum of HDF5's metadata, lookup3 of Bob Jenkins (2006), in the public domain; and what a hash is fed with.

Only writing needs lookup3. Readers of this package compare the seal, a SHA-256 over the whole file, before they look
inside.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

_MASK = 0xFFFFFFFF


def lookup3(data: bytes) -> int:
    """32 bits over any number of bytes.

    >>> hex(lookup3(b"Four score and seven years ago"))
    '0x17770551'
    """
    a = b = c = (0xDEADBEEF + len(data)) & _MASK
    if not data:
        return c
    whole = (len(data) - 1) // 12  # the last block, full or not, is mixed in otherwise
    for x, y, z in struct.iter_unpack("<3I", data[: 12 * whole]):
        a, b, c = (a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK
        a = (a - c) & _MASK ^ (c << 4 | c >> 28) & _MASK
        c = (c + b) & _MASK
        b = (b - a) & _MASK ^ (a << 6 | a >> 26) & _MASK
        a = (a + c) & _MASK
        c = (c - b) & _MASK ^ (b << 8 | b >> 24) & _MASK
        b = (b + a) & _MASK
        a = (a - c) & _MASK ^ (c << 16 | c >> 16) & _MASK
        c = (c + b) & _MASK
        b = (b - a) & _MASK ^ (a << 19 | a >> 13) & _MASK
        a = (a + c) & _MASK
        c = (c - b) & _MASK ^ (b << 4 | b >> 28) & _MASK
        b = (b + a) & _MASK
    x, y, z = struct.unpack("<3I", data[12 * whole :].ljust(12, b"\0"))
    return _final((a + x) & _MASK, (b + y) & _MASK, (c + z) & _MASK)


def _final(a: int, b: int, c: int) -> int:
    for turn_c, turn_a, turn_b in ((14, 11, 25), (16, 4, 14)):
        c = ((c ^ b) - _turned(b, turn_c)) & _MASK
        a = ((a ^ c) - _turned(c, turn_a)) & _MASK
        b = ((b ^ a) - _turned(a, turn_b)) & _MASK
    return ((c ^ b) - _turned(b, 24)) & _MASK


def _turned(x: int, bits: int) -> int:
    return (x << bits | x >> (32 - bits)) & _MASK


def feed(digest: Any, label: str, value: Any) -> None:
    """Give a hash a label, a kind and a value, with lengths in front, so that no two contents run together."""
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        kind, raw = "bytes", value
    else:
        array = np.ascontiguousarray(value)
        kind, raw = f"{array.dtype.str}{np.shape(value)}", array.tobytes()
    for part in (label.encode(), kind.encode(), raw):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
