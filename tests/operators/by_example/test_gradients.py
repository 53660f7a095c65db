"""Gradients of single examples, by rules for layers or by vmap, against plain backward passes one example at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ObjectiveError
from landscape.objective import Objective
from landscape.operators.by_example.gradients import PerExample

COUNT = 5


def squared(output: Tensor, target: Tensor) -> Tensor:
    return (output - target).flatten(1).square().sum(1).mean()


class Twice(nn.Module):
    """One layer called twice, and one tensor in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.first, self.last = nn.Linear(4, 4), nn.Embedding(6, 4), nn.Linear(4, 6, bias=False)
        self.last.weight = self.first.weight

    def forward(self, words: Tensor) -> Tensor:
        return self.last(torch.tanh(self.inner(torch.tanh(self.inner(self.first(words))))))


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu_(self.first(x)))


class Flattening(nn.Module):
    """Positions of all examples in one dimension, as attention layers have them."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.flatten(0, 1)).reshape(len(x), -1, 3)


class Bare(nn.Module):
    """A parameter that belongs to no layer of torch."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.layer = nn.Parameter(torch.rand(4) + 0.5), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(self.scale * x)


class PastTheLayer(nn.Module):
    """A layer's weight used once by the layer and once beside it, which no hook sees."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + torch.tanh(x @ self.layer.weight)


class WithUnused(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.unused = nn.Linear(4, 3), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


def statistics(model: nn.Module) -> nn.Module:
    """Running statistics that are not those of a new layer."""
    for layer in model.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.running_mean.uniform_(-1, 1)
            layer.running_var.uniform_(0.5, 2)
    return model


def floats(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(COUNT, *shape, dtype=torch.float64)


def words(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, 6, (COUNT, *shape))


MODELS = {
    "dense": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)), floats(4), "layers"),
    "dense, few positions": (lambda: nn.Linear(12, 11), floats(2, 12), "layers"),
    "dense, many positions": (lambda: nn.Linear(2, 3), floats(9, 2), "layers"),
    "dense, positions in two dimensions": (lambda: nn.Linear(2, 3), floats(2, 3, 2), "layers"),
    "dense, examples joined with positions": (Flattening, floats(3, 4), "layers"),
    "images": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 2, (1, 2), dilation=2)),
        floats(2, 5, 7), "layers",
    ),
    "images of few places": (lambda: nn.Conv2d(3, 8, 3), floats(3, 4, 4), "layers"),
    "sequences": (lambda: nn.Conv1d(2, 3, 3, padding=2, stride=2), floats(2, 6), "layers"),
    "layer norm": (lambda: nn.Sequential(nn.LayerNorm((3, 4)), nn.Tanh(), nn.LayerNorm(4)), floats(3, 4), "layers"),
    "rms norm": (lambda: nn.Sequential(nn.RMSNorm(4), nn.Tanh(), nn.Linear(4, 2)), floats(3, 4), "layers"),
    "group norm": (lambda: nn.Sequential(nn.GroupNorm(2, 4), nn.Tanh()), floats(4, 3, 3), "layers"),
    "batch norm": (lambda: statistics(nn.Sequential(nn.BatchNorm2d(2), nn.Tanh())), floats(2, 3, 3), "layers"),
    "batch norm of vectors": (lambda: statistics(nn.Sequential(nn.BatchNorm1d(4), nn.Tanh())), floats(4), "layers"),
    "words": (lambda: nn.Embedding(6, 3, padding_idx=2), words(4), "layers"),
    "used twice, and tied": (Twice, words(4), "layers"),
    "in place": (InPlace, floats(4), "layers"),
    "unused": (WithUnused, floats(4), "layers"),
    "several groups": (lambda: nn.Conv2d(4, 4, 2, groups=2), floats(4, 3, 3), "vmap"),
    "a parameter of its own": (Bare, floats(4), "vmap"),
    "past the layer": (PastTheLayer, floats(4), "vmap"),
    "gated": (lambda: nn.GRUCell(4, 3), floats(4), "one by one"),
}  # fmt: skip


def build(name: str) -> tuple[Objective, str]:
    make, inputs, way = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, x = make().double(), inputs()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
            y = torch.randn_like(copy.deepcopy(model).eval()(x))
    return Objective(model, squared, (x, y), check=False, chunk=3), way


def one_by_one(objective: Objective, index: int, u: Tensor) -> list[list[Tensor]]:
    """∂⟨u_n, output_n⟩/∂θ of each example of a chunk, by the model as it is."""
    model = copy.deepcopy(objective.module.model).eval()
    named = dict(model.named_parameters())
    tensors = [named[name] for name in objective.layout.names]
    inputs = objective.parts().chunk(index)[0]
    found = []
    for n in range(len(u)):
        gradients = torch.autograd.grad(model(inputs[n : n + 1]), tensors, u[n : n + 1], allow_unused=True)
        found.append([torch.zeros_like(t) if g is None else g for g, t in zip(gradients, tensors, strict=True)])
    return found


@pytest.mark.parametrize("name", MODELS)
def test_norms_and_squares_are_those_of_one_example_after_another(name):
    objective, way = build(name)
    parts = objective.parts()
    gradients = PerExample(parts, objective.theta, few=objective.on_first(4).parts())
    assert gradients.way == way
    for index in range(objective.num_chunks):
        with parts.borrowed():
            found = gradients.record(index)
            u = torch.randn(found.output.shape, generator=torch.Generator().manual_seed(index), dtype=torch.float64)
            signs = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)[: found.count]
            norms, squares = gradients.norms(found, u), gradients.squares(found, u, signs)
        truth = one_by_one(objective, index, u)
        expected = torch.tensor(
            [[float(g.square().sum()) for g in example] for example in truth], dtype=torch.float64
        ).T
        torch.testing.assert_close(norms, expected, rtol=1e-9, atol=1e-12)
        flat = torch.stack([torch.cat([g.reshape(-1) for g in example]) for example in truth])
        torch.testing.assert_close(squares, signs @ flat.square(), rtol=1e-9, atol=1e-12)


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x), x


def test_several_outputs_are_refused():
    x, y = torch.ones(6, 4, dtype=torch.float64), torch.zeros(6, 3, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        objective = Objective(Several().double(), lambda f, t: squared(f[0], t), (x, y), check=False)
    with pytest.raises(ObjectiveError, match="returns 2 tensors"):
        PerExample(objective.parts(), objective.theta, few=objective.on_first(3).parts())
