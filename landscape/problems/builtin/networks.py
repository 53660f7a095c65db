"""The networks of the registered problems. Layer names are part of the checkpoint format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "tanh": torch.tanh}
POOLINGS: dict[str, Callable[[Tensor, int], Tensor]] = {"max": functional.max_pool2d, "average": functional.avg_pool2d}


class LeNet5(nn.Module):
    """LeNet-5 on 32 × 32 images: two 5 × 5 convolutions with pooling, three dense layers; 61,706 parameters.

    As in course studies on MNIST: both convolutions are full, the outputs are logits. The original (LeCun, Bottou,
    Bengio, Haffner 1998, Gradient-based learning applied to document recognition, §II.B) has a sparse second
    convolution, trainable subsampling and radial outputs; tanh with average pooling comes closest to it.
    """

    def __init__(self, *, activation: str = "relu", pooling: str = "max", num_classes: int = 10) -> None:
        super().__init__()
        self._activation, self._pooling = ACTIVATIONS[activation], POOLINGS[pooling]
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Images (N, 1, 32, 32) → logits (N, C)."""
        x = self._pooling(self._activation(self.conv1(images)), 2)
        x = self._pooling(self._activation(self.conv2(x)), 2)
        x = self._activation(self.fc1(x.flatten(1)))
        logits: Tensor = self.fc3(self._activation(self.fc2(x)))
        return logits


class MLP(nn.Module):
    """Dense layers ``fc1 … fcn`` with an activation between them; no hidden layer gives softmax regression."""

    def __init__(
        self, num_inputs: int, hidden: Sequence[int], num_outputs: int, *, activation: str = "tanh", bias: bool = True
    ) -> None:
        super().__init__()
        self._activation = ACTIVATIONS[activation]
        widths = [num_inputs, *hidden, num_outputs]
        self._names = [f"fc{i}" for i in range(1, len(widths))]
        for name, fan_in, fan_out in zip(self._names, widths[:-1], widths[1:], strict=True):
            self.add_module(name, nn.Linear(fan_in, fan_out, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, …), flattened per example → outputs (N, C)."""
        x = x.flatten(1)
        for name in self._names[:-1]:
            x = self._activation(self.get_submodule(name)(x))
        out: Tensor = self.get_submodule(self._names[-1])(x)
        return out


def lenet5(activation: str, pooling: str) -> Callable[[], nn.Module]:
    """A builder of LeNet-5 for ten classes; what it is asked for is checked now, not at the first model."""
    check_choice("activation", activation, ACTIVATIONS)
    check_choice("pooling", pooling, POOLINGS)
    return partial(LeNet5, activation=activation, pooling=pooling)


def mlp(num_inputs: int, hidden: Sequence[int], activation: str) -> Callable[[], nn.Module]:
    """A builder of an MLP for ten classes; what it is asked for is checked now."""
    check_choice("activation", activation, ACTIVATIONS)
    for width in hidden:
        check_count("hidden width", width)
    return partial(MLP, num_inputs, tuple(hidden), 10, activation=activation)


def half_squared_weights(model: nn.Module) -> Tensor:
    """½ ‖W‖² over all weights; biases are left out, as usual in ridge-type penalties."""
    squares = [p.square().sum() for name, p in model.named_parameters() if name.endswith("weight")]
    return 0.5 * torch.stack(squares).sum()
