"""The loss of a chunk as a function of the tensors of θ, with the model's own tensors swapped out and back in."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from landscape.batches import cast
from landscape.errors import ObjectiveError
from landscape.isolation import borrowed
from landscape.params import ParamLayout

LossFn = Callable[[Any, Any], Tensor]


class LossModule(nn.Module):
    """A loss as a module around the model, so that one functional call swaps everything in and out.

    Calling it with one of its own methods and that method's arguments runs the method while other tensors stand in the
    model's places.
    """

    model: nn.Module

    def forward(self, method: Callable[..., Any], *args: Any) -> Any:
        return method(*args)

    def mean_loss(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        raise NotImplementedError

    def outputs(self, batch: Any) -> Any:
        """What the model returns for a batch, and the loss reads."""
        raise NotImplementedError

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        """Mean loss of outputs against the targets of their batch."""
        raise NotImplementedError


class SupervisedLoss(LossModule):
    def __init__(self, model: nn.Module, loss_fn: LossFn) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    def mean_loss(self, batch: Any) -> Tensor:
        return self.loss_of(self.outputs(batch), batch)

    def outputs(self, batch: Any) -> Any:
        inputs = _pair(batch)[0]
        if isinstance(inputs, dict):
            return self.model(**inputs)
        return self.model(*inputs) if isinstance(inputs, (tuple, list)) else self.model(inputs)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        return self.loss_fn(outputs, _pair(batch)[1])


class OwnLoss(LossModule):
    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    def mean_loss(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)

    def outputs(self, batch: Any) -> Any:
        raise ObjectiveError(_INSEPARABLE)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        raise ObjectiveError(_INSEPARABLE)


_INSEPARABLE = (
    "an objective made by Objective.from_loss does not say where the model ends and the loss begins, which a "
    "Gauss-Newton or Fisher matrix needs. Use Objective(model, loss_fn, data) with loss_fn(output, target)"
)


def _pair(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of a batch."""
    try:
        inputs, targets = batch
    except (TypeError, ValueError):
        raise ObjectiveError(
            f"a batch must be (inputs, targets) for loss_fn(output, target); this one is a {type(batch).__name__}. "
            "For anything else use Objective.from_loss(model, loss(model, batch), data)"
        ) from None
    return inputs, targets


class Parts:
    """L(θ) as a sum over chunks, with its constants (frozen parameters and buffers) as they were when this was made.

    ``held`` overrides the model's values of parameters outside θ.
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
    ) -> None:
        self.layout, self.shares = layout, shares
        self._module, self._chunks, self._mode = module, chunks, mode
        self._device, self._dtype = device, dtype

        def fixed(tensor: Tensor) -> Tensor:
            return tensor.detach().to(device, dtype if tensor.is_floating_point() else tensor.dtype, copy=True)

        inside = set(self.layout.names)
        named = dict(self._module.model.named_parameters())
        frozen = {n: fixed(held.get(n, t)) for n, t in named.items() if n not in inside}
        self._slots = {f"model.{slot}": name for slot, name in self.layout.slots.items()}
        self._constants = {f"model.{slot}": frozen[n] for slot, n in self.layout.slots.items() if n in frozen}
        for name, tensor in self._module.named_parameters():
            if not name.startswith("model."):
                self._constants[name] = fixed(tensor)
        self._buffers = {name: fixed(tensor) for name, tensor in self._module.named_buffers()}

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
        return _one_number(self._with(tensors, self._module.mean_loss, chunk, held=held))

    @property
    def held(self) -> dict[str, Tensor]:
        """What is fixed besides the data, by name: parameters outside θ, those of the loss, and buffers."""
        return {**self._constants, **self._buffers}

    def outputs(self, chunk: Any, tensors: Sequence[Tensor]) -> Any:
        """What the model returns for a batch: a tensor, or a nest of tensors.

        Raises
        ------
        ObjectiveError
            If the objective was made by ``Objective.from_loss``, which knows of no outputs.
        """
        return self._with(tensors, self._module.outputs, chunk)

    def loss_of(self, outputs: Any, chunk: Any) -> Tensor:
        """Mean loss of a batch whose outputs are these; ``loss_on(chunk, t) = loss_of(outputs(chunk, t), chunk)``.

        Parameters that the loss itself has are held fixed. Raises as :meth:`outputs` does.
        """
        return _one_number(self._with(None, self._module.loss_of, outputs, chunk))

    @property
    def loss_fn(self) -> LossFn | None:
        """``loss_fn(output, target)`` as it was given; None where the loss calls the model itself."""
        return self._module.loss_fn if isinstance(self._module, SupervisedLoss) else None

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
        values |= {name: held[name].clone() for name in self._buffers}
        return functional_call(self._module, values, (method, *args), tie_weights=False)

    def value(self, index: int, tensors: Sequence[Tensor]) -> float:
        """Mean loss of chunk ``index`` as a number, without a graph unless the loss itself differentiates."""
        try:
            with torch.no_grad():
                return float(self.part(index, tensors))
        except RuntimeError as error:  # a loss on derivatives of the model, as physics-informed networks have
            if "does not require grad" not in str(error):
                raise
        with torch.enable_grad():
            return float(self.part(index, tensors).detach())

    def in_double(self) -> Parts:
        """The same loss in float64, its chunks cast when they are asked for."""
        twin = copy.copy(self)
        twin._dtype = torch.float64
        twin._constants = {n: t.double() if t.is_floating_point() else t for n, t in self._constants.items()}
        twin._buffers = {n: t.double() if t.is_floating_point() else t for n, t in self._buffers.items()}
        twin._chunks = _InDouble(self._chunks, self._device)
        return twin

    def constants_digest(self) -> str:
        """SHA-256 of frozen parameters and buffers, by name."""
        seal = hashlib.sha256()
        for name, tensor in sorted({**self._constants, **self._buffers}.items()):
            seal.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            seal.update(tensor.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        return seal.hexdigest()

    def part_with_graph(self, index: int) -> Tensor:
        """One chunk's loss at the model's own parameters, with what its gradient needs."""
        with self.borrowed(), torch.enable_grad():
            named = {n: t.detach() for n, t in self._module.model.named_parameters()}
            point = [named[n].to(self._device, self._dtype).requires_grad_() for n in self.layout.names]
            return self.part(index, point)


class _InDouble(Sequence[Any]):
    """Chunks as float64, one at a time."""

    def __init__(self, chunks: Sequence[Any], device: torch.device) -> None:
        self._chunks, self._device = chunks, device

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, index: Any) -> Any:
        return cast(self._chunks[index], torch.float64, self._device)


def _one_number(loss: Any) -> Tensor:
    """The loss as a scalar, or a refusal that says what it was instead."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        seen = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise ObjectiveError(
            f"the loss must be one number, a mean over examples; it gave {seen}. Likely reduction='none'"
        )
    return loss.reshape(())
