"""A plain copy of a model whose parameters are in shards, whole on every rank; what it was copied from."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.distributed.agreeing import check_same
from landscape.distributed.shards import (
    BY_HAND,
    fsdp_modules,
    gathering,
    is_in_shards,
    is_of_fsdp,
    is_shard,
    refuse_flat,
    unwrapped,
    whole,
)
from landscape.errors import LandscapeError, in_one_line

#: Where the code lives whose hooks and methods are left behind.
_PARALLELISM = ("torch.distributed.fsdp", "torch.distributed._composable", "torch.distributed.tensor")
_TENSOR_PARALLELISM = ("torch.distributed.tensor",)
#: What it leaves in a module besides.
_MARKS = ("_is_fsdp_managed_module", "_fsdp_use_orig_params", "_distribute_module_applied")
_STATES = "__composable_api_state_key"
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks",
    "_state_dict_pre_hooks", "_load_state_dict_pre_hooks", "_load_state_dict_post_hooks",
)  # fmt: skip


@dataclass(frozen=True)
class Origin:
    """What a plain copy was made of.

    Attributes
    ----------
    ranks : int
        Over how many the parameters are.
    kind : str
        What holds them so.
    is_settled : bool
        Whether the model may be called without changing it: FSDP settles at the first call which module is its root.
    """

    ranks: int
    kind: str
    is_settled: bool
    _model: weakref.ref[nn.Module]
    _shards: tuple[weakref.ref[Any], ...]
    _bits: int

    @property
    def model(self) -> nn.Module | None:
        """The model in shards, as long as anybody has it."""
        return self._model()

    @property
    def has_moved(self) -> bool:
        """Whether this rank's parts of parameters, or its buffers, are not those that were copied.

        A pass over them; nothing is exchanged.
        """
        model = self.model
        if model is None:
            return False
        shards = [reference() for reference in self._shards]
        return any(shard is None for shard in shards) or _bits([*shards, *model.buffers()]) != self._bits


_origins: weakref.WeakKeyDictionary[nn.Module, Origin] = weakref.WeakKeyDictionary()


def origin_of(model: nn.Module) -> Origin | None:
    """What a model was copied from by :func:`gathered`; None of any other."""
    return _origins.get(model)


def gathered(model: nn.Module, *, device: torch.device | str | None = None) -> nn.Module:
    """A plain copy of a model whose parameters are in shards, with all of them whole on every rank.

    Every rank that holds a part calls it. The copy has the same classes, names, ties and modes, and none of the hooks
    by which FSDP and tensor parallelism make exchanges, so that it can be called on one rank alone, differentiated in
    any mode, and saved. The model itself is left as it was. Where nothing is in shards, it is what is given back,
    without the wrappers of ``torch.compile`` and DistributedDataParallel.

    Parameters
    ----------
    model : nn.Module
        Of ``fully_shard``, ``parallelize_module``, ``distribute_module``, or any of them together.
    device : optional
        Where the parameters that were in shards are in the copy; left out, where the model has them.

    Returns
    -------
    nn.Module
        It takes the memory of all parameters on each rank, and does not follow the model when that is trained on.

    Raises
    ------
    LandscapeError
        If this rank measures alone, ranks have different models or buffers, or no copy can be made.
    UsageError
        Of FullyShardedDataParallel, and where a parameter has no values.

    Notes
    -----
    One exchange for each parameter, of its size.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Linear(2, 1)
    >>> gathered(torch.nn.parallel.DataParallel(model)) is model
    True
    """
    model = unwrapped(model)
    refuse_flat(model)
    if not is_in_shards(model):
        return model
    # Not what FSDP has whole after a forward pass, which may be in lower precision than its shards.
    with gathering(model):
        shards = [tensor for tensor in (*model.parameters(), *model.buffers()) if is_shard(tensor)]
        named: dict[int, Tensor] = {
            id(tensor): _as_held(tensor, name, device) for name, tensor in model.named_parameters() if is_shard(tensor)
        }
        named |= {id(tensor): whole(tensor, name, device) for name, tensor in model.named_buffers() if is_shard(tensor)}
        twin = _copied(model, named)
        kept = [tensor for tensor in (*model.parameters(), *model.buffers()) if not is_shard(tensor)]
        check_same(
            str(_bits(kept)), "buffers, or parameters outside the shards,",
            "Running statistics of batch normalisation differ where each rank has seen data of its own. Make them the "
            "same, as by torch.distributed.broadcast(buffer, 0) of every buffer, or train with SyncBatchNorm",
        )  # fmt: skip
        followed = tuple(weakref.ref(tensor) for tensor in model.parameters())
        bits = _bits([*model.parameters(), *model.buffers()])
    ranks = max((tensor.device_mesh.size() for tensor in shards), default=1)  # type: ignore[attr-defined]
    _origins[twin] = Origin(ranks, _kind(model), _is_settled(model), weakref.ref(model), followed, bits)
    return twin


def _as_held(tensor: Tensor, name: str, device: Any) -> nn.Parameter:
    with torch.inference_mode(False):
        return nn.Parameter(whole(tensor, name, device), requires_grad=tensor.requires_grad)


def _copied(model: nn.Module, named: Mapping[int, Tensor]) -> nn.Module:
    """The modules as they were before they were parallel, with these tensors in place of those that have these ids."""
    memo: dict[int, Any] = dict(named)
    for part in model.modules():
        # Groups of processes are shared by whoever holds them; they cannot be copied.
        memo |= {id(value): value for value in vars(part).values() if _is_of_processes(value)}
    parts = fsdp_modules(model)
    for part in parts:
        own: Any = next(kind for kind in type(part).__mro__ if not is_of_fsdp(kind))
        memo[id(part)] = own.__new__(own)
    try:
        for part in parts:
            memo[id(part)].__setstate__(copy.deepcopy(_without_parallelism(_state(part)), memo))
        twin = copy.deepcopy(model, memo)
        for part in twin.modules():
            kept = _without_parallelism(vars(part))
            vars(part).clear()
            vars(part).update(kept)
    except Exception as error:
        raise LandscapeError(
            f"no plain copy can be made of the model, whose parameters are in shards ({in_one_line(error)}). Then "
            f"{BY_HAND}"
        ) from error
    return twin


def _state(module: nn.Module) -> dict[str, Any]:
    """What is to be copied of a module, as it says itself."""
    try:
        return dict(module.__getstate__())
    except RuntimeError:  # of a parametrized module, which refuses to be pickled
        return {name: value for name, value in vars(module).items() if name != "_compiled_call_impl"}


def _is_of_processes(value: Any) -> bool:
    return type(value).__name__ in ("DeviceMesh", "ProcessGroup") or type(value).__module__.startswith(
        "torch._C._distributed"
    )


def _without_parallelism(state: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a module without what parallelism has put there."""
    found = {}
    for name, value in state.items():
        if name in _MARKS or name.startswith(_STATES):
            continue
        if name in _HOOKS and value:
            value = type(value)((key, hook) for key, hook in value.items() if not _is_from(hook, _PARALLELISM))
        elif callable(value) and not isinstance(value, nn.Module) and _is_from(value, _PARALLELISM):
            continue  # a method that was made to gather first
        found[name] = value
    return found


def _is_from(function: Any, places: tuple[str, ...]) -> bool:
    """Whether a function was written in one of these modules, whatever it says itself after ``functools.wraps``."""
    for name in ("hook", "func", "__func__"):
        function = getattr(function, name, function)
    home = getattr(function, "__globals__", {}).get("__name__", type(function).__module__)
    return str(home).startswith(places)


def _kind(model: nn.Module) -> str:
    """What holds the parameters in shards."""
    named = {"FSDP": bool(fsdp_modules(model)), "tensor parallelism": _is_tensor_parallel(model)}
    return " and ".join(name for name, found in named.items() if found) or "DTensor"


def _is_tensor_parallel(model: nn.Module) -> bool:
    hooks = (
        hook for part in model.modules() for name in ("_forward_pre_hooks", "_forward_hooks")
        for hook in getattr(part, name).values()
    )  # fmt: skip
    return any(_is_from(hook, _TENSOR_PARALLELISM) for hook in hooks)


def _is_settled(model: nn.Module) -> bool:
    """Whether FSDP, if it has a part in it, has been called; beside it, tensor parallelism alone changes what code
    computes, so that a model of both is looked at anyway."""
    states = [part._get_fsdp_state() for part in fsdp_modules(model) if hasattr(part, "_get_fsdp_state")]
    called = all(getattr(state, "_is_root", None) is not None for state in states)
    return called or _is_tensor_parallel(model)


def _bits(tensors: Sequence[Any]) -> int:
    """A sum of the bits of what this rank holds of tensors."""
    widths = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    total = 0
    with torch.inference_mode(False), torch.no_grad():
        for tensor in tensors:
            own = tensor.detach().to_local() if is_shard(tensor) else tensor.detach()
            own = torch.view_as_real(own.resolve_conj()) if own.is_complex() else own
            own, size = own.contiguous().reshape(-1), own.element_size()
            # Words of eight bytes, where they fit, are summed several times as fast as shorter ones.
            fits = own.numel() * size % 8 == 0 and own.storage_offset() * size % 8 == 0
            words = own.view(torch.int64 if fits and own.numel() else widths[size])
            total = total * 1_000_003 + int(words.sum(dtype=torch.int64))
    return total % (1 << 62)
