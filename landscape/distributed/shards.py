"""Parameters in shards: which models have them, and each of their tensors whole, by all ranks that hold a part of it.

FSDP and tensor parallelism of torch hold parameters as ``DTensor``. Classes are known by their names here, so that
nothing of ``torch.distributed`` is loaded for a model that has none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from landscape.distributed.agreeing import check_same, is_first, together
from landscape.distributed.group import current
from landscape.errors import LandscapeError, UsageError

#: What gathers a model by hand, for messages.
BY_HAND = (
    "build the model once more, without parallelism, and load into it what get_model_state_dict(model, "
    "options=StateDictOptions(full_state_dict=True)), of torch.distributed.checkpoint.state_dict, gives on every rank"
)


def unwrapped(model: Any) -> Any:
    """The model inside ``torch.compile``, DataParallel and DistributedDataParallel."""
    while True:
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        elif isinstance(getattr(model, "_orig_mod", None), nn.Module):
            model = model._orig_mod
        else:
            return model


def is_shard(tensor: Any) -> bool:
    """Whether a tensor stands for one of which this rank may hold a part only."""
    kind: Any = type(tensor)
    return _has_base(kind, "DTensor")


def is_of_fsdp(kind: Any) -> bool:
    """Whether ``fully_shard`` has made this class, of the module's own."""
    return _has_base(kind, "FSDPModule")


@lru_cache(maxsize=512)
def _has_base(kind: Any, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.startswith("torch.distributed.") for base in kind.__mro__)


def fsdp_modules(model: nn.Module) -> list[Any]:
    """The modules that ``fully_shard`` was applied to."""
    return [part for part in model.modules() if is_of_fsdp(type(part))]


def is_in_shards(model: nn.Module) -> bool:
    """Whether parameters or buffers are in shards: by ``fully_shard``, ``parallelize_module``, ``distribute_module``.

    So it is too where FSDP has its parameters whole for the moment, as between forward and backward. Where there is no
    group of processes, no model is.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return False
    return bool(fsdp_modules(model)) or any(is_shard(tensor) for _, tensor in _named(model))


def refuse_flat(model: nn.Module) -> None:
    """The older FSDP joins parameters into flat ones, which have lost their names and shapes.

    Raises
    ------
    UsageError
    """
    if any(type(part).__name__ == "FullyShardedDataParallel" for part in model.modules()):
        raise UsageError(
            "the model is wrapped by FullyShardedDataParallel, whose flat parameters have no names and shapes of their "
            f"own. Take fully_shard, which replaces it; or {BY_HAND}"
        )


@contextmanager
def in_shards(model: nn.Module) -> Iterator[None]:
    """Within the block FSDP has all parameters in shards, also those that stood whole; after it they are whole again.

    All ranks enter and leave together. An error leaves them in shards, from which FSDP gathers them by itself.
    """
    parts = fsdp_modules(model)
    stood_whole = []
    for part in parts:
        before = _registered(part)
        part.reshard()
        after = _registered(part)
        if any(old is not new and not is_shard(old) for old, new in zip(before, after, strict=True)):
            stood_whole.append(part)
    yield
    for part in parts:
        part.reshard()
    for part in stood_whole:
        part.unshard()


def _registered(module: nn.Module) -> list[Any]:
    return [tensor for part in module.modules() for tensor in part._parameters.values()]


def _named(model: nn.Module) -> Iterator[tuple[str, Any]]:
    """Parameters and buffers, each once."""
    yield from model.named_parameters()
    yield from model.named_buffers()


@contextmanager
def gathering(model: nn.Module) -> Iterator[None]:
    """Within the block all parameters are in shards, and all ranks that hold them are there to gather them.

    Raises
    ------
    LandscapeError
        If this rank measures alone, holds no part of a tensor, or has another model than the others.
    UsageError
        If a parameter has no values.
    """
    _refuse_alone(model)
    with in_shards(model):
        _check_gatherable(model)
        yield


def _refuse_alone(model: nn.Module) -> None:
    """Refuse to gather where the other ranks that hold the model are not asked."""
    if current() is not None:
        return
    ranks = [tensor.device_mesh.size() for _, tensor in _named(model) if is_shard(tensor)]
    if not ranks:  # FSDP has all of them whole for the moment
        ranks = [dist.get_world_size()]
    if (widest := max(ranks, default=1)) > 1:
        raise LandscapeError(
            f"the parameters are in shards on {widest} ranks, which must gather them together, and this one measures "
            "alone. Call landscape.distributed.gathered(model) on all of them first, outside of alone(), and pass on "
            "the plain copy that it gives"
        )


def _check_gatherable(model: nn.Module) -> None:
    """Refuse before anything is exchanged what would end in a rank that waits for others."""
    shards: dict[str, Any] = {name: tensor for name, tensor in _named(model) if is_shard(tensor)}
    together(_fault(shards), "a look at the parameters")
    said = [[name, tuple(t.shape), str(t.dtype), str(t.placements)] for name, t in shards.items()]
    check_same(str(said), "parameters in shards", "Give all ranks the same model, sharded in the same way")


def _fault(shards: Mapping[str, Any]) -> LandscapeError | None:
    for name, tensor in shards.items():
        if tensor.device_mesh.get_coordinate() is None:
            return LandscapeError(
                f"this rank holds no part of {name!r}, which is in shards on {tensor.device_mesh.size()} other ranks. "
                "All ranks that measure together must hold the model; start as many as there are"
            )
        if tensor.to_local().is_meta:
            return UsageError(
                f"parameter {name!r} is on the meta device and has no values; load the weights first "
                "(model.to_empty(device='cpu'), then load_state_dict)"
            )
    return None


def whole(tensor: Any, what: str, device: torch.device | str | None = None) -> Tensor:
    """A shard in full, in memory of its own, by one exchange among those that hold parts of it."""
    with torch.inference_mode(False), torch.no_grad():
        there, local = torch.device(tensor.device_mesh.device_type), tensor.detach().to_local()
        placed = tensor.detach()
        if local.device.type != there.type:  # kept on the CPU, where the others cannot be reached
            placed = placed.to(there.type)
        group = current()
        with nullcontext() if group is None else group.waiting(f"the shards of {what}"):
            gathered: Tensor = placed.full_tensor()
        full = gathered.to(local.device if device is None else device).contiguous()
        # Of what every rank has in full already, there may be no copy.
        shared = full.untyped_storage().data_ptr() == local.untyped_storage().data_ptr()
        return full.clone() if shared else full


def whole_on_first(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Dicts, lists and tuples with every shard in them in full, in a CPU's memory, on rank 0; others have None there.

    All ranks bring the same tree. Shards are gathered one by one, so that a rank holds one of them in full at a time.
    """
    names = str([name for name, _ in _shards_in(parts, "")])
    check_same(names, "parameters or states in shards", "Give all ranks the same model and optimizer")
    found: dict[str, Any] = _whole_tree(parts, "", keep=is_first())
    return found


def _shards_in(value: Any, what: str) -> Iterator[tuple[str, Any]]:
    if is_shard(value):
        yield what, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _shards_in(part, f"{what}.{key}")
    elif type(value) in (list, tuple):
        for index, part in enumerate(value):
            yield from _shards_in(part, f"{what}.{index}")


def _whole_tree(value: Any, what: str, *, keep: bool) -> Any:
    if is_shard(value):
        full = whole(value, what.removeprefix("."), "cpu" if keep else None)
        return full if keep else None
    if isinstance(value, Mapping):
        return {key: _whole_tree(part, f"{what}.{key}", keep=keep) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_whole_tree(part, f"{what}.{index}", keep=keep) for index, part in enumerate(value))
    return value
