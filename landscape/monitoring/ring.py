"""The last states of a training, held in memory: which steps are the last is known only when it has ended."""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Snapshot:
    """Copies of all that a checkpoint holds.

    Attributes
    ----------
    tensors : dict
        Of each module, its parameters and buffers, in order.
    """

    step: int
    tensors: tuple[tuple[Tensor, ...], ...]
    optimizer: Any
    scheduler: Any
    metrics: dict[str, Any]


@dataclass(frozen=True)
class State:
    """Objects with a state, to be saved."""

    model: nn.Module
    average: nn.Module | None
    optimizer: Any
    scheduler: Any

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The model and its average."""
        return (self.model,) if self.average is None else (self.model, self.average)

    def snapshot(self, step: int, metrics: dict[str, Any]) -> Snapshot:
        """Copies of them as they are."""
        with torch.no_grad():
            tensors = tuple(tuple(t.detach().clone() for t in _tensors(module)) for module in self.modules)
            optimizer = None if self.optimizer is None else copy.deepcopy(self.optimizer.state_dict())
        scheduler = None if self.scheduler is None else copy.deepcopy(self.scheduler.state_dict())
        return Snapshot(step, tensors, optimizer, scheduler, metrics)

    def twin(self) -> State:
        """Other objects of the same kind, to put snapshots into; these stay as they are."""
        model, average, optimizer = copy.deepcopy((self.model, self.average, self.optimizer))
        return State(model, average, optimizer, None if self.scheduler is None else Stored({}))

    def put(self, snapshot: Snapshot) -> None:
        """Make these what the snapshot is of; only for a twin."""
        with torch.no_grad():
            for module, tensors in zip(self.modules, snapshot.tensors, strict=True):
                for tensor, kept in zip(_tensors(module), tensors, strict=True):
                    tensor.copy_(kept)
        if self.optimizer is not None:
            saved = snapshot.optimizer
            ordered = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
            # Not by load_state_dict, which casts the state to the type of the parameters.
            self.optimizer.state.clear()
            self.optimizer.state.update({ordered[index]: part for index, part in saved["state"].items()})
            for group, setting in zip(self.optimizer.param_groups, saved["param_groups"], strict=True):
                group.update({key: value for key, value in setting.items() if key != "params"})
        if isinstance(self.scheduler, Stored):
            self.scheduler.state = snapshot.scheduler


@dataclass
class Stored:
    """Stands in for a scheduler whose state is all that is asked for."""

    state: Any

    def state_dict(self) -> Any:
        """As it was."""
        return self.state


def make_ring(last: int) -> deque[Snapshot]:
    """Holds so many snapshots, the newest ones."""
    return deque(maxlen=last)


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
