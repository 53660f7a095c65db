"""Borrow a model without leaving a trace: modes, random numbers and kernels are put back, also after an exception."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.device import full_precision, generators_kept, plain_cudnn


@contextmanager
def borrowed(module: nn.Module, *, mode: str, device: torch.device) -> Iterator[None]:
    """Put a module into ``"eval"`` or ``"train"`` mode, in exact arithmetic, for the duration of the block.

    Attention runs on the math kernel, which alone has a second derivative, and recurrent layers off the fused kernels,
    which have none. Autocast and TF32 are off. Activation checkpointing is off, because what runs again during the
    backward pass reads the parameters that are in the model by then; embeddings have dense gradients, since sparse ones
    have no second derivative; weight normalisation is spelled out, since the second derivative of the fused one takes
    the norm for a constant. The global generators end where they began.
    """
    flags = [(part, part.training) for part in module.modules()]
    with ExitStack() as stack:
        stack.enter_context(generators_kept([device]))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.autocast(device.type, enabled=False))
        stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        stack.enter_context(_slow_attention_path())
        stack.enter_context(_without_checkpointing())
        stack.enter_context(_spelled_weight_norm())
        stack.enter_context(_dense_embeddings([part for part, _ in flags]))
        recurrent = any(isinstance(part, nn.RNNBase) for part, _ in flags)
        stack.enter_context(full_precision())
        if device.type == "cuda":
            stack.enter_context(plain_cudnn(enabled=not recurrent))
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
def uncompiled() -> Iterator[None]:
    """Compiled modules and functions run as they were written: what is compiled has no second derivative."""
    # Nothing has been compiled where dynamo, which takes seconds to load, is not loaded.
    if "torch._dynamo" not in sys.modules or not hasattr(torch.compiler, "set_stance"):
        yield
        return
    config = sys.modules["torch._dynamo"].config
    with ExitStack() as stack:
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        if hasattr(config, "error_on_nested_fx_trace"):  # else a recording refuses what has been compiled
            stack.enter_context(config.patch(error_on_nested_fx_trace=False))
        yield


class _RunOnce:
    """Stands in for the autograd function of reentrant checkpointing."""

    @staticmethod
    def apply(function: Callable[..., Any], preserve: bool, *args: Any) -> Any:
        return function(*args)


def _keep_everything(*args: Any, **kwargs: Any) -> Iterator[None]:
    """Stands in for what non-reentrant checkpointing does around the function: nothing."""
    yield


@contextmanager
def _without_checkpointing() -> Iterator[None]:
    from torch.utils import checkpoint

    # torch has no switch for it. Both forms look these names up when they are called, and a model may hold either.
    with ExitStack() as stack:
        stack.enter_context(_standing_in(checkpoint, "CheckpointFunction", _RunOnce))
        stack.enter_context(_standing_in(checkpoint, "_checkpoint_without_reentrant_generator", _keep_everything))
        yield


def _weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Stands in for the fused one: w = g v/‖v‖, of which every derivative is right."""
    return v * (g / torch.norm_except_dim(v, 2, dim))


@contextmanager
def _spelled_weight_norm() -> Iterator[None]:
    with ExitStack() as stack:
        for place in (torch, sys.modules.get("torch.nn.utils.weight_norm")):  # the parametrization, and the older hook
            stack.enter_context(_standing_in(place, "_weight_norm", _weight_norm))
        yield


@contextmanager
def _standing_in(place: Any, name: str, stand_in: Any) -> Iterator[None]:
    """Another value for a name of a module of torch, if it has it."""
    if not hasattr(place, name):
        yield
        return
    before = getattr(place, name)
    setattr(place, name, stand_in)
    try:
        yield
    finally:
        setattr(place, name, before)


@contextmanager
def _dense_embeddings(modules: list[nn.Module]) -> Iterator[None]:
    sparse = [m for m in modules if isinstance(m, (nn.Embedding, nn.EmbeddingBag)) and m.sparse]
    try:
        for embedding in sparse:
            embedding.sparse = False
        yield
    finally:
        for embedding in sparse:
            embedding.sparse = True


@contextmanager
def _plain_recurrence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="TF32 acceleration on top of oneDNN")
        with torch.backends.mkldnn.flags(enabled=False):
            yield
