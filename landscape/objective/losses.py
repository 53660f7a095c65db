"""A loss as a module around the model: of outputs against targets, or of model and batch."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from landscape import distributed
from landscape.errors import ObjectiveError, UsageError
from landscape.objective.batches.hashing import ATOMS, digest_of
from landscape.progress import say

LossFn = Callable[[Any, Any], Tensor]


class LossModule(nn.Module):
    """A loss as a module around the model, so that one functional call swaps everything in and out.

    Calling it with one of its own methods and that method's arguments runs the method while other tensors stand in the
    model's places.
    """

    model: nn.Module
    #: Done with the outputs before the loss reads them, such as a normalisation.
    transform: Callable[[Any], Any] | None = None
    #: The likelihood of which it is the negative logarithm, where it says so.
    likelihood: str | None = None

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        """The caller's own: the loss, and what gives its outputs."""
        raise NotImplementedError

    @property
    def is_separable(self) -> bool:
        """Whether it says where the model ends and the loss begins."""
        return True

    @property
    def remarks(self) -> tuple[str, ...]:
        """What there is to know of how it is evaluated, such as its memory."""
        return ()

    def settings(self) -> list[list[str]]:
        """What distinguishes it from another of the same name."""
        named = [["", name_of(function)] for function in self.functions[1:]]
        return [*named, *(entry for function in self.functions for entry in settings_of(function))]

    def forward(self, method: Callable[..., Any], *args: Any) -> Any:
        return method(*args)

    def mean_loss(self, batch: Any) -> Tensor:
        """Mean loss of a batch."""
        return self.loss_of(self.outputs(batch), batch)

    def outputs(self, batch: Any) -> Any:
        """What the model returns for a batch, and the loss reads."""
        found = self.plain_outputs(batch)
        return found if self.transform is None else self.transform(found)

    def plain_outputs(self, batch: Any) -> Any:
        """What the model returns for a batch."""
        raise NotImplementedError

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        """Mean loss of outputs against the targets of their batch."""
        raise NotImplementedError

    def unseen_bytes(self, batch: Any, dtype: torch.dtype) -> int:
        """Size of the outputs of a batch, where the loss does without them and autograd never sees them."""
        return 0


class SupervisedLoss(LossModule):
    def __init__(self, model: nn.Module, loss_fn: LossFn) -> None:
        super().__init__()
        self.model, self.loss_fn = model, loss_fn

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return (self.loss_fn,)

    def plain_outputs(self, batch: Any) -> Any:
        inputs = _pair(batch)[0]
        if isinstance(inputs, Mapping):
            return self.model(**inputs)
        several = isinstance(inputs, (tuple, list)) and not isinstance(inputs, PackedSequence)
        return self.model(*inputs) if several else self.model(inputs)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        return self.loss_fn(outputs, _pair(batch)[1])


class LossOfOutputs(LossModule):
    """``loss(outputs(model, batch), batch)``."""

    def __init__(
        self, model: nn.Module, outputs: Callable[[Any, Any], Any], loss: Callable[[Any, Any], Tensor]
    ) -> None:
        super().__init__()
        self.model, self.outputs_of, self.loss = model, outputs, loss

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return self.loss, self.outputs_of

    def plain_outputs(self, batch: Any) -> Any:
        return self.outputs_of(self.model, batch)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        return self.loss(outputs, batch)


class OwnLoss(LossModule):
    def __init__(self, model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> None:
        super().__init__()
        self.model, self.loss = model, loss

    @property
    def functions(self) -> tuple[Callable[..., Any], ...]:
        return (self.loss,)

    @property
    def is_separable(self) -> bool:
        return False

    def mean_loss(self, batch: Any) -> Tensor:
        return self.loss(self.model, batch)

    def plain_outputs(self, batch: Any) -> Any:
        raise ObjectiveError(_INSEPARABLE)

    def loss_of(self, outputs: Any, batch: Any) -> Tensor:
        raise ObjectiveError(_INSEPARABLE)


_INSEPARABLE = (
    "an objective made by Objective.from_loss does not say where the model ends and the loss begins, which a "
    "Gauss-Newton or Fisher matrix needs. Use Objective(model, loss_fn, data) with loss_fn(output, target), or "
    "Objective.from_outputs(model, outputs, loss, data) with loss(outputs(model, batch), batch)"
)


def _pair(batch: Any) -> tuple[Any, Any]:
    """Inputs and targets of a batch."""
    seen = type(batch).__name__
    if isinstance(batch, Mapping):
        seen += f" with {', '.join(map(str, batch))}"
    elif isinstance(batch, Tensor):
        seen += ", without targets (a list is a list of batches; a tuple is one)"
    else:
        try:
            inputs, targets = batch
        except (TypeError, ValueError):
            seen += f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
        else:
            if not isinstance(inputs, tuple) or not inputs or not isinstance(inputs[0], str):  # no pairs of key, value
                return inputs, targets
    raise ObjectiveError(
        f"a batch must be (inputs, targets) for loss_fn(output, target); this one is a {seen}. For anything else use "
        "Objective.from_loss(model, loss, data) with a loss of the whole batch, such as lambda model, batch: "
        'loss_fn(model(batch["x"]), batch["y"])'
    )


def plain_module(model: Any, device: torch.device | str | None = None) -> nn.Module:
    """The module itself: a compiled one has no double backward, and one of DistributedDataParallel makes exchanges of
    its own when it is called; what they wrap does neither. Of one whose parameters are in shards a plain copy,
    with them on ``device``.

    Raises
    ------
    UsageError
        If it is no module, or one whose parameters have been joined into flat ones.
    LandscapeError
        If parameters in shards cannot be gathered.
    """
    model = distributed.unwrapped(model)
    if not isinstance(model, nn.Module):
        raise UsageError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    if distributed.is_in_shards(model):
        say("gathering the parameters from their shards")
    return distributed.gathered(model, device=device)


def name_of(function: Any) -> str:
    """What a loss is called, in records and digests."""
    return getattr(function, "__qualname__", None) or re.sub(r" at 0x[0-9a-fA-F]+", "", repr(function))


def settings_of(function: Any) -> list[list[str]]:
    """What distinguishes two losses of one name: the numbers, text and fixed tensors that they hold.

    Of a module its attributes and buffers (``label_smoothing``, class weights), of another callable its attributes, of
    a function what it closes over and its defaults, of a partial one what it was given. What has parameters is a model,
    and no setting.

    >>> settings_of(nn.MSELoss(reduction="sum"))
    [['reduction', "'sum'"]]
    """
    return sorted([name, text] for name, value in _settings(function) if (text := _text_of(value)))


def _settings(function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, nn.Module):
        yield from _settings_of_module(function)
    elif isinstance(function, functools.partial):
        yield from _settings(function.func)
        yield from ((str(place), value) for place, value in enumerate(function.args))
        yield from function.keywords.items()
    elif inspect.ismethod(function):
        yield from _settings(function.__func__)
    elif inspect.isfunction(function):
        yield from inspect.getclosurevars(function).nonlocals.items()
        yield from ((f"default {place}", value) for place, value in enumerate(function.__defaults__ or ()))
        yield from (function.__kwdefaults__ or {}).items()
    else:
        yield from getattr(function, "__dict__", {}).items()


def _settings_of_module(loss: nn.Module) -> Iterator[tuple[str, Any]]:
    for path, module in loss.named_modules():
        trained = next(module.parameters(), None) is not None
        if not trained or module is loss:
            own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
            own |= {} if trained else dict(module.named_buffers(recurse=False))
            yield from ((f"{path}.{name}".lstrip("."), value) for name, value in own.items() if name != "training")


def _text_of(value: Any) -> str:
    if type(value) in ATOMS:
        return repr(value)
    return digest_of(value) if isinstance(value, Tensor) and not value.requires_grad else ""
