"""A perceptron whose outputs are scaled, which decides how far it must move to fit: between a kernel and features."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from landscape.checks import check_choice, check_positive
from landscape.problems.base import Problem
from landscape.problems.builtin.digits import LOSSES, NUM_CLASSES, digits_split, first_examples
from landscape.problems.builtin.networks import mlp
from landscape.problems.recipe import Recipe

KERNEL, MOVED = "kernel distance", "distance from the start, relative to ‖θ₀‖"
#: Training examples on which kernels are compared.
SEEN = 32


class Centred(nn.Module):
    """``x ↦ α (f(x; θ) − f(x; θ₀))``: zero at the start, which the model keeps as buffers.

    Attributes
    ----------
    net, start : nn.Module
        f at θ and at θ₀.
    """

    def __init__(self, net: nn.Module, scale: float) -> None:
        super().__init__()
        self.net, self.start, self._scale = net, _held(copy.deepcopy(net)), scale

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, …) → outputs (N, C)."""
        away: Tensor = self.net(x) - self.start(x)
        return self._scale * away


def _held(net: nn.Module) -> nn.Module:
    """The same with buffers in the place of its parameters."""
    for module in net.modules():
        for name, p in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, p.detach().clone())
    return net


def lazy_digits(
    *,
    scale: float = 1.0,
    hidden: Sequence[int] = (100,),
    activation: str = "tanh",
    loss: str = "cross_entropy",
    num_train: int | None = None,
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    r"""The digits by a perceptron with outputs :math:`α\,(f(x; θ) − f(x; θ_0))`: lazy for large α, rich for small.

    A learning rate of η at α = 1 is one of :math:`η/α^2` here, for the same first step of the outputs. The problem
    measures how far the tangent kernel K has turned since the start,
    :math:`1 − ⟨K, K_0⟩ / (‖K‖ ‖K_0‖)` over all outputs of 32 training examples, and how far θ has moved.

    Parameters
    ----------
    scale : float
        α.
    num_train : int, optional
        Keeps the first that many training examples.

    References
    ----------
    Chizat, Oyallon & Bach (2019), NeurIPS, for the scale. Fort, Dziugaite, Paul, Kharaghani, Roy & Ganguli (2020),
    NeurIPS, for the distance of kernels.
    """
    check_choice("loss", loss, LOSSES)
    check_positive("scale", scale)
    train, test = digits_split(8, test_fraction, split_seed)
    train = first_examples(train, num_train, "num_train")
    net = mlp(64, hidden, activation)
    return Problem(
        build=lambda: Centred(net(), scale),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        measures=partial(_changes, train[0][:SEEN]),
        recipe=Recipe("sgd", batch_size=64, epochs=60, learning_rates={"sgd": 0.1 / scale**2}),
    )


def _changes(inputs: Tensor, model: nn.Module, split: str) -> Mapping[str, float]:
    """Of kernel and parameters since the start."""
    if split != "train":
        return {}
    assert isinstance(model, Centred)
    now = {name: p.detach() for name, p in model.net.named_parameters()}
    start = dict(model.start.named_buffers())
    inputs = inputs.to(next(iter(now.values())))
    K, K0 = (_kernel(model.net, tensors, inputs) for tensors in (now, start))
    moved = torch.stack([(now[name] - start[name]).double().square().sum() for name in now]).sum()
    size = torch.stack([start[name].double().square().sum() for name in now]).sum()
    return {KERNEL: 1 - float((K * K0).sum() / (K.norm() * K0.norm())), MOVED: float((moved / size).sqrt())}


def _kernel(net: nn.Module, tensors: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """(n·C, n·C) float64: products of the gradients of all outputs."""
    found = jacrev(lambda at: functional_call(net, at, (inputs,)))(dict(tensors))
    J = torch.cat([part.flatten(2) for part in found.values()], dim=2).flatten(0, 1).double()
    return J @ J.T
