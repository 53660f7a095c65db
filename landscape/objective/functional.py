"""The loss of a chunk as a function of the tensors of θ, with the model's own tensors swapped out and back in."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils import _pytree as pytree

from landscape.device import place_of_float64, widened
from landscape.errors import LandscapeError, ModelError, ObjectiveError, is_out_of_memory
from landscape.objective.arithmetic import PrecisionWatch, counterpart, lifted
from landscape.objective.batches import cast, unpack
from landscape.objective.isolation import borrowed, uncompiled
from landscape.objective.losses import LossFn, LossModule, SupervisedLoss
from landscape.params import ParamLayout


class Parts:
    """L(θ) as a sum over chunks, with its constants (frozen parameters and buffers) as they were when this was made.

    ``held`` overrides the model's values of parameters outside θ, and of buffers, by their names in the model. ``lift``
    lets a model that casts to a lower precision compute in float64 all through; only for θ in float64. With ``copies``
    model and loss, which write into their batch, are handed a copy of it each time.
    """

    def __init__(
        self,
        module: LossModule,
        layout: ParamLayout,
        chunks: Sequence[Any],
        shares: Sequence[float],
        *,
        mode: str,
        dtype: torch.dtype,
        device: torch.device,
        held: Mapping[str, Tensor],
        lift: bool = False,
        copies: bool = False,
        losses_seen: Sequence[float] | None = None,
    ) -> None:
        self._copies, self.losses_seen = copies, losses_seen
        self.layout, self.shares, self._lift = layout, shares, lift
        self._module, self._chunks, self._mode = module, chunks, mode
        self._device, self._dtype = device, dtype

        def fixed(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, counterpart(tensor, dtype), copy=True)

        with torch.inference_mode(False):
            self._hold(held, fixed)

    def _hold(self, held: Mapping[str, Tensor], fixed: Callable[[Tensor], Tensor]) -> None:
        """Copies of all that is not θ, so that they stay as they are now."""
        inside = set(self.layout.names)
        named = dict(self._module.model.named_parameters())
        frozen = {n: fixed(held.get(n, t)) for n, t in named.items() if n not in inside}
        self._slots = {f"model.{slot}": name for slot, name in self.layout.slots.items()}
        self._constants = {f"model.{slot}": frozen[n] for slot, n in self.layout.slots.items() if n in frozen}
        for name, tensor in self._module.named_parameters():
            if not name.startswith("model."):
                self._constants[name] = fixed(tensor)
        padded = [(f"model.{slot}", row, tensor) for slot, row, tensor in padding_rows(self._module.model)]
        self._padding_rows = {slot: row for slot, row, _ in padded}
        self._padding = {_padding(slot): fixed(tensor[row]) for slot, row, tensor in padded}
        self._buffers = {name: fixed(tensor) for name, tensor in self._module.named_buffers()}
        held_inside = {f"model.{name}": tensor for name, tensor in held.items()}
        self._buffers |= {name: fixed(held_inside[name]) for name in self._buffers.keys() & held_inside}
        if unknown := held_inside.keys() - self._buffers - {f"model.{name}" for name in named}:
            raise ObjectiveError(f"nothing in the model is called {sorted(unknown)[0].removeprefix('model.')!r}")

    def borrowed(self) -> AbstractContextManager[None]:
        """The state in which the model may be called."""
        return borrowed(self._module, mode=self._mode, device=self._device)

    def chunk(self, index: int) -> Any:
        """The batch that is chunk ``index``, on the device and in the dtype."""
        return self._chunks[index]

    def part(self, index: int, tensors: Sequence[Tensor]) -> Tensor:
        """Mean loss of chunk ``index``."""
        return self.loss_on(self._chunks[index], tensors)

    def loss_on(self, chunk: Any, tensors: Sequence[Tensor], held: Mapping[str, Tensor] | None = None) -> Tensor:
        """Mean loss of a batch; buffers are copies, so that a model which updates them keeps its own."""
        return _one_number(self._with(tensors, self._module.mean_loss, self._handed(chunk), held=held))

    @property
    def held(self) -> dict[str, Tensor]:
        """What is fixed besides the data, by name: parameters outside θ, those of the loss, buffers, padding."""
        return {**self._constants, **self._buffers, **self._padding}

    def outputs(self, chunk: Any, tensors: Sequence[Tensor], held: Mapping[str, Tensor] | None = None) -> Any:
        """What the model returns for a batch: a tensor, or a nest of tensors.

        Raises
        ------
        ObjectiveError
            If the objective was made by ``Objective.from_loss``, which has no outputs.
        """
        return self._with(tensors, self._module.outputs, self._handed(chunk), held=held)

    def loss_of(self, outputs: Any, chunk: Any) -> Tensor:
        """Mean loss of a batch whose outputs are these; ``loss_on(chunk, t) = loss_of(outputs(chunk, t), chunk)``.

        Parameters that the loss itself has are held fixed. Raises as :meth:`outputs` does.
        """
        return _one_number(self._with(None, self._module.loss_of, outputs, self._handed(chunk)))

    def _handed(self, chunk: Any) -> Any:
        """A chunk as the caller's code gets it."""
        if self._copies:
            chunk = pytree.tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, chunk)
        return unpack(chunk)

    @property
    def loss_fn(self) -> LossFn | None:
        """``loss_fn(output, target)`` as it was given; None where the loss calls the model itself."""
        return self._module.loss_fn if isinstance(self._module, SupervisedLoss) else None

    @property
    def likelihood(self) -> str | None:
        """Of which the loss is the negative logarithm, where it was made to be."""
        return self._module.likelihood

    @property
    def model(self) -> nn.Module:
        """The caller's model; its tensors are swapped only inside a call."""
        return self._module.model

    def _with(
        self,
        tensors: Sequence[Tensor] | None,
        method: Callable[..., Any],
        *args: Any,
        held: Mapping[str, Tensor] | None = None,
    ) -> Any:
        """Run a method of the loss module with the constants in place, and θ where the model is called."""
        held = self.held if held is None else held
        values = {name: held[name] for name in self._constants}
        if tensors is not None:
            theta = dict(zip(self.layout.names, tensors, strict=True))
            values |= {slot: theta[name] for slot, name in self._slots.items() if name in theta}
            for slot, row in self._padding_rows.items():
                if self._slots[slot] in theta:
                    there = torch.arange(len(values[slot]), device=self._device)[:, None] == row
                    values[slot] = torch.where(there, held[_padding(slot)], values[slot])
        values |= {name: held[name].clone() for name in self._buffers}
        with ExitStack() as stack:
            stack.enter_context(uncompiled())
            if self._lift:
                stack.enter_context(lifted())
            try:
                return functional_call(self._module, values, (method, *args), tie_weights=False)
            except (LandscapeError, MemoryError):
                raise
            except Exception as error:
                if is_out_of_memory(error):
                    raise
                raise ModelError.of(error) from error

    def coarsest(self, index: int, tensors: Sequence[Tensor]) -> torch.dtype:
        """The coarsest floating-point type in which the loss of a chunk computes with θ."""
        with self.borrowed(), torch.enable_grad(), PrecisionWatch() as watch:
            self.part(index, [t.detach().clone().requires_grad_() for t in tensors])
        return watch.coarsest or self._dtype

    @property
    def originals(self) -> dict[str, Tensor]:
        """The caller's own parameters that θ stands for, by name: what the loss must not read."""
        return {name: p for name, p in self._module.model.named_parameters() if name in self.layout.names}

    def value(self, index: int, tensors: Sequence[Tensor]) -> float:
        """Mean loss of chunk ``index`` as a number, without a graph unless the loss itself differentiates."""
        return self.value_on(self._chunks[index], tensors)

    def value_on(self, chunk: Any, tensors: Sequence[Tensor]) -> float:
        """The same of any batch, on the device and in the dtype."""
        try:
            with torch.no_grad():
                return float(self.loss_on(chunk, tensors))
        except RuntimeError as error:  # a loss on derivatives of the model, as physics-informed networks have
            if "does not require grad" not in str(error):
                raise
        with torch.enable_grad():
            return float(self.loss_on(chunk, tensors).detach())

    def mean(self, theta: Tensor) -> float:
        """L(θ), summed over chunks in double precision."""
        with self.borrowed():
            tensors = self.layout.split(theta)
            losses = [self.value(i, tensors) for i in range(len(self.shares))]
        return sum(share * loss for share, loss in zip(self.shares, losses, strict=True))

    def in_double(self, *, lift: bool = False) -> Parts:
        """The same loss in float64, its chunks cast when they are asked for; ``lift`` as when this was made."""
        twin = copy.copy(self)
        twin._dtype, twin._lift = torch.float64, self._lift or lift
        place = twin._device = place_of_float64(self._device)
        twin._constants = {n: t.to(place).to(counterpart(t, torch.float64)) for n, t in self._constants.items()}
        twin._buffers = {n: t.to(place).to(counterpart(t, torch.float64)) for n, t in self._buffers.items()}
        twin._padding = {n: widened(t) for n, t in self._padding.items()}
        twin._chunks = _InDouble(self._chunks, place)
        return twin

    @property
    def padding(self) -> dict[str, Tensor]:
        """Rows of embeddings that are fixed because they stand for padding, by what they are."""
        return dict(self._padding)

    @property
    def constants(self) -> dict[str, Tensor]:
        """Frozen parameters and buffers; names of the model's begin with ``model.``, the others are the loss's."""
        return {**self._constants, **self._buffers}

    def constants_digest(self) -> str:
        """SHA-256 of frozen parameters and buffers, by name."""
        seal = hashlib.sha256()
        for name, tensor in sorted(self.constants.items()):
            seal.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            seal.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return seal.hexdigest()

    def part_with_graph(self, index: int) -> Tensor:
        """One chunk's loss at the model's own parameters, with what its gradient needs."""
        with self.borrowed(), torch.enable_grad():
            named = {n: t.detach() for n, t in self._module.model.named_parameters()}
            point = [named[n].to(self._device, self._dtype, copy=True).requires_grad_() for n in self.layout.names]
            return self.part(index, point)


class _InDouble(Sequence[Any]):
    """Chunks as float64, one at a time."""

    def __init__(self, chunks: Sequence[Any], device: torch.device) -> None:
        self._chunks, self._device = chunks, device

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, index: Any) -> Any:
        return cast(self._chunks[index], torch.float64, self._device)


def padding_rows(model: nn.Module) -> Iterator[tuple[str, int, Tensor]]:
    """(slot, row, tensor) of embeddings whose row for padding is fixed: torch gives it no gradient in that slot."""
    for path, module in model.named_modules():
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag)) and module.padding_idx is not None:
            yield f"{path}.weight" if path else "weight", module.padding_idx, module.weight


def _padding(slot: str) -> str:
    return f"the row for padding of {slot}"


def _one_number(loss: Any) -> Tensor:
    """The loss as a scalar, or a refusal that says what it was instead."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        of_tensor = isinstance(loss, Tensor)
        seen = f"shape {tuple(loss.shape)}" if of_tensor else f"a {type(loss).__name__}"
        hint = "Return the loss alone, such as found['loss'] or found[0]"
        if of_tensor or isinstance(loss, (int, float)):
            hint = "Likely reduction='none'" if of_tensor else "Return it as a tensor, without .item() or float()"
        raise ObjectiveError(f"the loss must be one number, a mean over examples; it gave {seen}. {hint}")
    return loss.reshape(())
