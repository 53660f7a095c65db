"""The networks and data that are measured: seeded, a little trained, equal for everyone."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.models import CharTransformer, ResNet, TokenLoss, random_text
from landscape.problems.builtin.digits import digits_split
from landscape.problems.builtin.networks import MLP, LeNet5
from landscape.store.outputs import write_whole

SIZES = ("tiny", "small", "full")


@dataclass(frozen=True)
class Spec:
    """How a case is made.

    Attributes
    ----------
    build : callable
        A fresh model; called with torch's generator seeded.
    data : callable
        ``(inputs, targets)`` with N examples each.
    loss : nn.Module class
        A mean over examples, as a module with ``reduction="mean"`` because one of the peers asks for that.
    batches : int
        Equal parts the data are cut into where a tool is given batches: one of the peers takes the unweighted mean over
        batches, which is the loss over the data only if they are equal.
    steps, learning_rate, optimizer
        The training that makes the spectrum look trained.
    snapshots : int
        How many states along the end of the training are kept, the last one included.
    every : int
        Training steps between snapshots.
    """

    build: Callable[[], nn.Module]
    data: Callable[[], tuple[Tensor, Tensor]]
    loss: type[nn.CrossEntropyLoss] = nn.CrossEntropyLoss
    batches: int = 1
    steps: int = 100
    learning_rate: float = 0.05
    optimizer: str = "sgd"
    snapshots: int = 1
    every: int = 10


@dataclass
class Case:
    """A trained model in eval mode, its loss, its data, and the states it went through at the end of training."""

    name: str
    size: str
    model: nn.Module
    loss: nn.CrossEntropyLoss
    inputs: Tensor
    targets: Tensor
    num_batches: int
    snapshots: list[dict[str, Tensor]]
    cache: Path | None = None
    memo: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def dim(self) -> int:
        """P."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def data(self) -> tuple[Tensor, Tensor]:
        """The whole data as one batch."""
        return self.inputs, self.targets

    @property
    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """The data in equal batches."""
        size = len(self.inputs) // self.num_batches
        return list(zip(self.inputs.split(size), self.targets.split(size), strict=True))

    def own_model(self) -> nn.Module:
        """A copy, so that what one tool leaves in the model is not met by the other."""
        return copy.deepcopy(self.model)

    def vectors(self, count: int) -> Tensor:
        """(P, count) random directions of length 1, the same on each call."""
        V = torch.randn(self.dim, count, generator=torch.Generator().manual_seed(1))
        unit: Tensor = V / V.norm(dim=0)
        return unit

    def at(self, state: dict[str, Tensor]) -> Case:
        """The same case in another state, with a model of its own."""
        twin = copy.copy(self)
        twin.model, twin.memo, twin.cache = self.own_model(), {}, None
        twin.model.load_state_dict(state)
        return twin

    def with_data(self, count: int) -> Case:
        """The same network on ``count`` examples: the data repeated from the start, or cut short."""
        rows = torch.arange(count) % len(self.inputs)
        twin = copy.copy(self)
        twin.inputs, twin.targets, twin.num_batches, twin.memo = self.inputs[rows], self.targets[rows], 1, {}
        twin.cache = None
        return twin


def digits(size: int, count: int, channels: int = 1, *, times: int = 1) -> Callable[[], tuple[Tensor, Tensor]]:
    """The first ``count`` training digits as images of ``size`` × ``size`` pixels, ``times`` over."""

    def make() -> tuple[Tensor, Tensor]:
        images, labels = digits_split(size, 0.3, 0)[0]
        return images[:count].repeat(times, channels, 1, 1), labels[:count].repeat(times)

    return make


def text(sequences: int, context: int, vocabulary: int) -> Callable[[], tuple[Tensor, Tensor]]:
    """Sequences of a random text and the characters that follow."""

    def make() -> tuple[Tensor, Tensor]:
        letters = random_text(sequences * context + 1, vocabulary)
        return letters[:-1].view(sequences, context), letters[1:].view(sequences, context)

    return make


def mlp(hidden: tuple[int, ...], *, pixels: int = 64) -> Callable[[], nn.Module]:
    """A tanh network on digits."""
    return lambda: MLP(pixels, hidden, 10)


def _transformer(vocabulary: int, context: int, width: int, layers: int, heads: int) -> Callable[[], nn.Module]:
    return lambda: CharTransformer(vocabulary=vocabulary, context=context, width=width, layers=layers, heads=heads)


_LENET = Spec(lambda: LeNet5(pooling="average"), digits(32, 1257), batches=3, steps=250, snapshots=20, every=5)
_ADAM: dict[str, Any] = {"optimizer": "adam", "learning_rate": 1e-3}

# name -> size -> how it is made. "tiny" is for the tests, "small" for a look, "full" for the numbers.
SPECS: dict[str, dict[str, Spec]] = {
    "mlp": {
        "tiny": Spec(mlp((6,)), digits(8, 60), batches=3, steps=20),
        "small": Spec(mlp((100, 100)), digits(8, 420), batches=3, steps=200),
        "full": Spec(mlp((100, 100)), digits(8, 1257), batches=3, steps=400),
    },
    "lenet": {
        "tiny": Spec(lambda: LeNet5(pooling="average"), digits(32, 12), batches=3, steps=5),
        "small": Spec(_LENET.build, digits(32, 420), batches=3, steps=150, snapshots=6, every=5),
        "full": _LENET,
    },
    "lenet-more": {  # whose memory is that of the data, not that of the tools
        "tiny": Spec(_LENET.build, digits(32, 12), batches=3, steps=5),
        "small": Spec(_LENET.build, digits(32, 420, times=4), batches=3, steps=10),
        "full": Spec(_LENET.build, digits(32, 1257, times=4), batches=12, steps=10),
    },
    "lenet-fewer": {  # for work of thousands of products, so that every peer can end it
        "tiny": Spec(_LENET.build, digits(32, 12), batches=3, steps=5),
        "small": Spec(_LENET.build, digits(32, 120), batches=3, steps=50),
        "full": Spec(_LENET.build, digits(32, 420), batches=3, steps=250),
    },
    "transformer": {
        "tiny": Spec(_transformer(7, 5, 6, 1, 2), text(8, 5, 7), TokenLoss, 2, 5, **_ADAM),
        "small": Spec(_transformer(65, 64, 64, 2, 4), text(64, 64, 65), TokenLoss, 2, 100, **_ADAM),
        "full": Spec(_transformer(65, 64, 64, 2, 4), text(256, 64, 65), TokenLoss, 8, 200, **_ADAM),
    },
    "resnet": {
        "tiny": Spec(lambda: ResNet(blocks_per_stage=1, base=2), digits(32, 8, 3), batches=2, steps=2),
        "small": Spec(ResNet, digits(32, 64, 3), batches=2, steps=20),
        "full": Spec(ResNet, digits(32, 256, 3), batches=4, steps=40),
    },
    "transformer-10M": {
        "tiny": Spec(_transformer(9, 6, 12, 2, 2), text(4, 6, 9), TokenLoss, 2, 2, **_ADAM),
        "small": Spec(_transformer(65, 256, 384, 6, 6), text(2, 256, 65), TokenLoss, 2, 2, **_ADAM),
        "full": Spec(_transformer(65, 256, 384, 6, 6), text(8, 256, 65), TokenLoss, 4, 8, **_ADAM),
    },
    "spectrum": {  # few enough parameters that all eigenvalues can be had
        "tiny": Spec(mlp((3,)), digits(8, 40), batches=2, steps=20, snapshots=2),
        "small": Spec(mlp((12,)), digits(8, 420), batches=3, steps=200),
        "full": Spec(mlp((32, 16)), digits(8, 1257), batches=3, steps=400),
    },
}


def build_case(name: str, size: str, cache: Path | None = None) -> Case:
    """The case, trained here and now or loaded from ``cache``; it ends in eval mode."""
    case = make_case(name, size, SPECS[name][size], trained=None if cache is None else cache / f"{name}-{size}.pt")
    case.cache = cache
    return case


def make_case(name: str, size: str, spec: Spec, *, trained: Path | None = None) -> Case:
    """The case of a spec; its training is kept in the file ``trained``, where one is named."""
    inputs, targets = spec.data()
    if len(inputs) % spec.batches:
        raise ValueError(f"{name}: {len(inputs)} examples do not cut into {spec.batches} equal batches")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = spec.build()
        if trained is not None and trained.exists():
            states = torch.load(trained, weights_only=True)
        else:
            states = train(model, spec, inputs, targets)
            if trained is not None:
                torch.save(states, stream := io.BytesIO())
                write_whole(trained, stream.getvalue())
    model.load_state_dict(states[-1])
    return Case(name, size, model.eval(), spec.loss(), inputs, targets, spec.batches, states)


def train(model: nn.Module, spec: Spec, inputs: Tensor, targets: Tensor) -> list[dict[str, Tensor]]:
    """Train on batches drawn from torch's generator; the states at the end of training, oldest first."""
    loss_fn = spec.loss()
    if spec.optimizer == "adam":
        optimizer: torch.optim.Optimizer = torch.optim.Adam(model.parameters(), lr=spec.learning_rate)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=spec.learning_rate, momentum=0.9)
    model.train()
    states = []
    for step in range(1, spec.steps + 1):
        rows = torch.randint(len(inputs), (min(64, len(inputs)),))
        optimizer.zero_grad()
        loss_fn(model(inputs[rows]), targets[rows]).backward()
        optimizer.step()
        left = spec.steps - step
        if left % spec.every == 0 and left // spec.every < spec.snapshots:
            states.append({name: tensor.detach().clone() for name, tensor in model.state_dict().items()})
    return states
