"""Borrow a model without leaving a trace: modes, random numbers and kernels are put back, also after an exception."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def borrowed(module: nn.Module, *, mode: str, device: torch.device) -> Iterator[None]:
    """Put a module into ``"eval"`` or ``"train"`` mode, in exact arithmetic, for the duration of the block.

    Attention runs on the math kernel, which alone has a second derivative, and recurrent layers off the fused kernels,
    which have none. Autocast and TF32 are off. The global generators end where they began.
    """
    flags = [(part, part.training) for part in module.modules()]
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=[device] if device.type == "cuda" else []))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_slow_attention_path())
        recurrent = any(isinstance(part, nn.RNNBase) for part in module.modules())
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=not recurrent, allow_tf32=False))
            stack.enter_context(_full_precision_matmul())
        elif recurrent:
            stack.enter_context(_plain_recurrence())
        try:
            module.train(mode == "train")
            yield
        finally:
            for part, training in flags:
                part.training = training


@contextmanager
def _slow_attention_path() -> Iterator[None]:
    """The fused inference path of nn.TransformerEncoderLayer rounds differently from the one that is differentiated."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


@contextmanager
def _plain_recurrence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
        with torch.backends.mkldnn.flags(enabled=False):
            yield


@contextmanager
def _full_precision_matmul() -> Iterator[None]:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before
