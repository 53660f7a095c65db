"""The few types of values that our files have, as HDF5 writes them: booleans, integers, floats, complex, text."""

from __future__ import annotations

import struct

import numpy as np

#: What stands before a number of bytes that are text; the number, of 4 bytes, follows.
_TEXT = {b"\x13\x01\0\0": "ascii", b"\x13\x11\0\0": "utf-8"}
# float type of NumPy → place of its sign, exponent (place, size), mantissa (size), bias of the exponent
_FLOATS = {2: (15, 10, 5, 10, 15), 4: (31, 23, 8, 23, 127), 8: (63, 52, 11, 52, 1023)}


def encode(dtype: np.dtype) -> bytes:
    """The message in which HDF5 states this type.

    Raises
    ------
    KeyError
        If our files have no such type, as long doubles and texts of NumPy.
    """
    return _ENCODED[np.dtype(dtype).str.replace("=", "<")]


def encode_text(size: int) -> bytes:
    """The message for UTF-8 of ``size`` bytes, padded with zeros."""
    return b"\x13\x11\0\0" + struct.pack("<I", size)


def decode(message: bytes) -> tuple[np.dtype, bool]:
    """NumPy's type of the values, and whether they are text.

    Raises
    ------
    ValueError
        If it is none of those that we write.
    """
    known = _DECODED.get(message)
    if known is not None:
        return known, False
    if len(message) == 8 and message[:4] in _TEXT:
        (size,) = struct.unpack("<I", message[4:])
        if size:
            return np.dtype(f"S{size}"), True
    raise ValueError("it has a value of a type that no file of landscape has")


def _integer(size: int, *, signed: bool, big: bool) -> bytes:
    return struct.pack("<BBHIHH", 0x10, 8 * signed | big, 0, size, 0, 8 * size)


def _float(size: int, *, big: bool) -> bytes:
    sign, exponent, bits, mantissa, bias = _FLOATS[size]
    head = struct.pack("<BBBBIHH", 0x11, 0x20 | big, sign, 0, size, 0, 8 * size)
    return head + struct.pack("<BBBBI", exponent, bits, 0, mantissa, bias)


def _complex(size: int, *, big: bool) -> bytes:
    """A pair named r and i, as h5py has it."""
    half = size // 2
    parts = (name.ljust(8, b"\0") + struct.pack("<I28x", at) for name, at in ((b"r", 0), (b"i", half)))
    return struct.pack("<BHBI", 0x16, 2, 0, size) + b"".join(part + _float(half, big=big) for part in parts)


def _boolean() -> bytes:
    """An enumeration of FALSE and TRUE, as h5py has it."""
    names = b"FALSE".ljust(8, b"\0") + b"TRUE".ljust(8, b"\0")
    return struct.pack("<BHBI", 0x18, 2, 0, 1) + _integer(1, signed=True, big=False) + names + b"\0\1"


def _all_types() -> dict[str, bytes]:
    found = {"|b1": _boolean(), "|i1": _integer(1, signed=True, big=False), "|u1": _integer(1, signed=False, big=False)}
    for order, big in (("<", False), (">", True)):
        for size in (2, 4, 8):
            found[f"{order}i{size}"] = _integer(size, signed=True, big=big)
            found[f"{order}u{size}"] = _integer(size, signed=False, big=big)
            found[f"{order}f{size}"] = _float(size, big=big)
        for size in (8, 16):
            found[f"{order}c{size}"] = _complex(size, big=big)
    return found


_ENCODED = _all_types()
_DECODED = {message: np.dtype(name) for name, message in _ENCODED.items()}
