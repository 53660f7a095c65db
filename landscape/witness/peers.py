"""What tools for ``loss_fn(model(inputs), targets)`` are given: batches, a loss, a copy of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from landscape.device import accelerators, generators_kept
from landscape.objective import Objective
from landscape.objective.batches import cast, unpack
from landscape.objective.losses import SupervisedLoss
from landscape.witness.plain import model_for_a_peer
from landscape.witness.verdicts import NotRun

Batch = tuple[Tensor, Tensor]
#: What a missing tool is asked for by.
EXTRA = "pip install 'landscape-curvature[crosscheck]'"


class Given:
    """Model, loss and batches as a tool takes them, in the objective's dtype.

    Raises
    ------
    NotRun
        If the objective is none of ``loss_fn(model(inputs), targets)`` in eval mode on tensors.
    """

    def __init__(self, objective: Objective) -> None:
        module = objective.module
        if not isinstance(module, SupervisedLoss):
            raise NotRun("it takes loss_fn(model(inputs), targets), and the objective was made by from_loss or such")
        if module.transform is not None:
            raise NotRun("it takes the loss of the model's own outputs, and the objective normalises them first")
        if objective.mode != "eval":
            raise NotRun("it puts the model into eval mode, and the objective is asked in train mode")
        self.objective = objective
        self.loss: Callable[[Any, Any], Tensor] = module.loss_fn
        self.batches: list[Batch] = [
            _pair(unpack(cast(batch, objective.dtype, objective.device))) for batch in objective.batches.cut(None)
        ]

    def model(self) -> nn.Module:
        """A copy of its own."""
        return model_for_a_peer(self.objective)

    def flat(self, model: nn.Module, pieces: Any) -> Tensor:
        """Tensors in the order of a model's trainable parameters as one vector (P,) in our order, float64."""
        names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        named = {name: piece.detach() for name, piece in zip(names, pieces, strict=True)}
        return self.objective.layout.flatten(named).double()

    def place(self, model: nn.Module, theta: Tensor) -> nn.Module:
        """The model with these parameters."""
        values = self.objective.layout.unflatten(theta.to(self.objective.device, self.objective.dtype))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in values:
                    parameter.copy_(values[name])
        return model


@contextmanager
def lent(seed: int) -> Iterator[None]:
    """Math attention, which alone has a second derivative, and global generators that are put back."""
    with generators_kept(accelerators(), seed=seed), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        yield


def _pair(batch: Any) -> Batch:
    inputs, targets = batch
    if not isinstance(inputs, Tensor) or not isinstance(targets, Tensor):
        raise NotRun(f"it takes inputs that are one tensor, and these are a {type(inputs).__name__}")
    return inputs, targets
