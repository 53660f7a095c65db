"""Of a model whose parameters are in shards a plain copy is evaluated: whether that is the same function, still."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from landscape import distributed
from landscape.distributed.shards import BY_HAND, is_shard
from landscape.errors import ObjectiveError, in_one_line
from landscape.objective.arithmetic import PrecisionWatch
from landscape.objective.batches import cast, unpack
from landscape.objective.isolation import borrowed, uncompiled
from landscape.objective.losses import LossModule

if TYPE_CHECKING:
    from landscape.objective import Objective

#: How far outputs may be apart, relative, by the coarsest type that the model in shards computes in; what is wrong is
#: wrong by much more. Of coarser types so many eps.
_APART = {torch.float64: 1e-9, torch.float32: 1e-4}
_EPS = 16.0

_CAUSES = (
    "Likely causes: sizes in the model's code that were divided by the number of ranks (the heads of attention under "
    f"tensor parallelism), exchanges of its own in forward. Then {BY_HAND}, and pass that model"
)


def check_unmoved(model: nn.Module) -> None:
    """Refuse a copy whose model has been trained on since, and a model that was put into shards under its objective.

    Raises
    ------
    ObjectiveError
    """
    if distributed.is_in_shards(model):
        raise ObjectiveError(
            "the model was put into shards after this objective was made of it. Make the objective anew, on all ranks"
        )
    origin = distributed.origin_of(model)
    if origin is not None and origin.has_moved:
        raise ObjectiveError(
            "the parameters or buffers of the model in shards have moved since they were gathered for this objective, "
            "which holds a copy. Make the objective anew, on all ranks; what is handed theta= goes on with this one"
        )


def remarks(model: nn.Module) -> tuple[str, ...]:
    """What there is to know of where the parameters are from."""
    origin = distributed.origin_of(model)
    if origin is None:
        return ()
    return (f"parameters gathered from shards on {origin.ranks} ranks ({origin.kind}): a plain copy, whole on each",)


def said_of_copy(model: nn.Module, error: Exception) -> str | None:
    """What to say where the copy of a model in shards cannot be evaluated; None of any other model."""
    if distributed.origin_of(model) is None:
        return None
    return f"the plain copy of the model in shards cannot be evaluated: {error}. {_CAUSES}"


def check_copy(objective: Objective) -> None:
    """Hold the copy against the model in shards: the outputs of both, in evaluation mode, on the first examples.

    Outputs that agree make loss and derivatives agree, which are the copy's own and are held against differences after
    this. The model is called once by all ranks together, on the same examples, and its backward pass is not run: that
    would add to gradients, and set off optimizers that step in it. Where FSDP has not been called yet, it is not called
    here: the first call settles which module is the root.

    Raises
    ------
    ObjectiveError
        If outputs differ.

    Warns
    -----
    RuntimeWarning
        If the model in shards cannot be called as the copy can, or each rank has a part of its outputs.
    """
    origin = distributed.origin_of(objective.module.model)
    model = None if origin is None else origin.model
    if origin is None or model is None or not origin.is_settled:
        return
    if origin.ranks > 1 and distributed.current() is None:  # the others would be waited for in vain
        return
    few = objective.at_once(objective.first_batch(objective.few))
    few.mode = "eval"
    dtype = next(p.dtype for p in model.parameters() if p.is_floating_point())
    ours = few.with_dtype(torch.float64 if dtype == torch.float64 else torch.float32)
    _judge(_of_all(lambda: _distance(_outputs_of_copy(ours), *_outputs_of(model, few, dtype))), few.num_examples)


def _of_all(compare: Callable[[], float | str]) -> float | str:
    """The worst of all ranks, or why it cannot be said.

    While a rank waits for others in the forward pass of the model, this is seen; so where one has met an error alone,
    and waits for others to meet it too, all end.
    """
    group = distributed.current()
    if group is None:
        try:
            return compare()
        except Exception as error:
            return in_one_line(error)
    found: float | str
    with group.waiting("the outputs of the model in shards"):
        try:
            found = compare()
        except Exception as error:
            found = in_one_line(error)
        else:
            every = group.all(found, "")
            said = [one for one in every if isinstance(one, str)]
            return said[0] if said else next((one for one in every if not one <= 1.0), max(every))
    return str(group.all(found, f"all others to meet an error of the model in shards ({found})")[0])


def _judge(found: float | str, examples: int) -> None:
    if isinstance(found, str):
        warnings.warn(
            f"the plain copy of the model in shards could not be held against the model itself ({found})",
            RuntimeWarning,
            stacklevel=6,
        )
    elif not found <= 1.0:
        raise ObjectiveError(
            "the plain copy of the model in shards is another function: on the first "
            f"{examples} examples its outputs differ from the model's by {found:.1e} times what rounding does. "
            f"{_CAUSES}"
        )


def _outputs_of_copy(few: Objective) -> list[Tensor]:
    parts = few.parts()
    with parts.borrowed(), torch.enable_grad():
        chunk, tensors = parts.chunk(0), few.layout.split(few.theta)
        found = parts.outputs(chunk, tensors) if few.module.is_separable else parts.loss_on(chunk, tensors)
    return _numbers(found)


def _outputs_of(model: nn.Module, few: Objective, dtype: torch.dtype) -> tuple[list[Tensor], torch.dtype]:
    """What the model in shards gives for the same examples, and in which type it computes."""
    module, device = _around(few.module, model), next(model.parameters()).device
    batch = unpack(cast(few.batches.batches[0], dtype, device, copy=True))
    with (
        distributed.in_shards(model), _buffers_kept(model), borrowed(module, mode="eval", device=device),
        torch.enable_grad(), uncompiled(), PrecisionWatch() as watch,
    ):  # fmt: skip
        found = module.outputs(batch) if module.is_separable else module.mean_loss(batch)
        numbers = _numbers(found)
    return numbers, watch.coarsest or dtype


def _around(module: LossModule, model: nn.Module) -> LossModule:
    """The same loss around another model."""
    twin = copy.copy(module)
    twin._modules = {**module._modules, "model": model}
    return twin


@contextmanager
def _buffers_kept(model: nn.Module) -> Iterator[None]:
    """Buffers that a call writes into, such as caches, end as they were."""
    buffers: list[Any] = [buffer for buffer in model.buffers() if not is_shard(buffer)]
    kept = [buffer.detach().clone() for buffer in buffers]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in zip(buffers, kept, strict=True):
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


def _numbers(nest: Any) -> list[Tensor]:
    """The tensors of floating-point numbers in what a model gives, in full."""
    leaves: list[Any] = [leaf for leaf in pytree.tree_leaves(nest) if isinstance(leaf, Tensor)]
    whole = [leaf.full_tensor() if is_shard(leaf) else leaf for leaf in leaves if leaf.is_floating_point()]
    return [leaf.detach().double().cpu() for leaf in whole]


def _distance(ours: list[Tensor], theirs: list[Tensor], dtype: torch.dtype) -> float | str:
    """How far outputs are apart, in units of what is allowed; or why that cannot be said."""
    shapes = [tuple(one.shape) for one in ours], [tuple(one.shape) for one in theirs]
    if shapes[0] != shapes[1]:
        return f"each rank has outputs of shapes {shapes[1]}, and the copy has {shapes[0]}"
    if not ours:
        return "its outputs hold no tensors"
    a, b = (torch.cat([one.reshape(-1) for one in outputs]) for outputs in (ours, theirs))
    size = max(float(a.norm()), float(b.norm()))
    allowed = _APART.get(dtype, _EPS * torch.finfo(dtype).eps)
    return float((a - b).norm()) / (allowed * size) if size > 0 else 0.0
