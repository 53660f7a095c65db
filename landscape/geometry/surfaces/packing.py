"""Arrays and tensors as bytes and back, bit for bit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from torch import Tensor


def packed(value: np.ndarray | Tensor) -> bytes:
    """Bytes of an array or of a tensor, bit for bit; of one that is not dense in memory, of a copy that is."""
    if isinstance(value, np.ndarray):
        about: dict[str, Any] = {"array": value.dtype.str, "shape": value.shape}
        return json.dumps(about).encode() + b"\n" + value.tobytes()
    dense = value.detach().clone()
    about = {"tensor": str(dense.dtype).removeprefix("torch."), "shape": dense.shape, "stride": dense.stride()}
    flat = dense.as_strided((dense.numel(),), (1,)).cpu().view(torch.uint8)
    return json.dumps(about).encode() + b"\n" + flat.numpy().tobytes()


def unpacked(content: bytes) -> Any:
    """What :func:`packed` was given."""
    head, _, raw = content.partition(b"\n")
    about = json.loads(head)
    if "array" in about:
        return np.frombuffer(raw, about["array"]).reshape(about["shape"]).copy()
    dtype = getattr(torch, about["tensor"])
    flat = torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    return flat.as_strided(about["shape"], about["stride"])
