"""What an optimizer's state says of each tensor of θ, whether the optimizer lives or was stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint
from landscape.checkpoints.writer import named_state, plain_name
from landscape.errors import CheckpointError, UsageError
from landscape.params import ParamLayout


class Owner(NamedTuple):
    """The class, group and state that one tensor of θ has in its optimizer."""

    kind: str
    group: Mapping[str, Any]
    state: Mapping[str, Any]


class Settings:
    """The optimizers of θ, by tensor.

    Parameters
    ----------
    source : Optimizer, sequence of them, or Checkpoint
    model : nn.Module
    layout : ParamLayout
    lr : float, optional
        In place of the rate that the first group has now.

    Attributes
    ----------
    states : list of dict
        ``{"class", "param_groups", "state"}`` of each optimizer, parameters by name.
    owners : dict
        Name of a tensor of θ → its owner; tensors that none moves are missing.
    """

    def __init__(
        self,
        source: Optimizer | Sequence[Optimizer] | Checkpoint,
        model: nn.Module,
        layout: ParamLayout,
        lr: float | None = None,
    ) -> None:
        self.layout, self._lr = layout, lr
        if isinstance(source, Checkpoint):
            self.states: list[Mapping[str, Any]] = [stored_state(source)]
        else:
            given = [source] if isinstance(source, Optimizer) else list(source)
            self.states = [named_state(optimizer, model) for optimizer in given]
        plain = {plain_name(name): name for name in layout.names}
        self.owners = {
            plain[name]: Owner(str(state["class"]), group, state["state"].get(name) or {})
            for state in self.states
            for group in state["param_groups"]
            for name in group["params"]
            if name in plain
        }
        if not self.owners:
            raise UsageError(f"the optimizer has none of the parameters of θ ({', '.join(layout.names[:6])})")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Classes of the optimizers of θ."""
        return tuple(dict.fromkeys(owner.kind for owner in self.owners.values()))

    @property
    def lr(self) -> float:
        """η, the unit of the update: the rate of the first group, or the one asked for."""
        return self.stored_lr if self._lr is None else self._lr

    @property
    def stored_lr(self) -> float:
        """The rate that the first group has now."""
        return float(self.states[0]["param_groups"][0]["lr"])

    def one(self, name: str, default: Any = None) -> Any:
        """A setting that all tensors of θ share; a UsageError where they differ."""
        found = {_hashable(owner.group.get(name, default)) for owner in self.owners.values()}
        if len(found) > 1:
            raise UsageError(f"its groups differ in {name}")
        return next(iter(found))

    def each(self, name: str, default: float = 0.0) -> Tensor:
        """(P,) float64: a setting of each parameter; NaN where no optimizer moves it."""
        found = []
        for tensor, size in zip(self.layout.names, self.layout.sizes, strict=True):
            owner = self.owners.get(tensor)
            value = float("nan") if owner is None else float(owner.group.get(name, default) or 0.0)
            found.append(torch.full((size,), value, dtype=torch.float64))
        return torch.cat(found)

    def decay_in_gradient(self) -> Tensor:
        """(P,) float64: λ that is added to the gradient as ``λθ``; zero where decay is decoupled."""
        decay = self.each("weight_decay")
        slices = self.layout.slices()
        for name, owner in self.owners.items():
            if is_decoupled(owner):
                decay[slices[name]] = 0.0
        return decay


def stored_state(checkpoint: Checkpoint) -> dict[str, Any]:
    """``{"class", "param_groups", "state"}`` of a checkpoint's optimizer; a CheckpointError where it has none."""
    stored = checkpoint.optimizer_state()
    if stored is None:
        raise CheckpointError(f"{checkpoint.path} holds no optimizer state; save one with save_checkpoint(optimizer=)")
    return stored


def is_decoupled(owner: Owner) -> bool:
    """Whether its weight decay is taken from θ by itself."""
    for flag in ("decoupled_weight_decay", "weight_decouple"):
        if flag in owner.group:
            return bool(owner.group[flag])
    return owner.kind.lower() in ("adamw", "muon", "soap", "lion")


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
