"""Eleven examples in batches of many types, a small model for them, and its Hessian by differences."""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections import OrderedDict, UserDict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

import landscape as ls

GENERATOR = torch.Generator().manual_seed(5)
X, Y = torch.randn(11, 3, generator=GENERATOR), torch.randint(2, (11,), generator=GENERATOR)
CUTS = (slice(0, 8), slice(8, 11))


class Encoding(UserDict):
    def to(self, device):
        return Encoding({key: value.to(device) for key, value in self.items()})


class PlainDict(dict):
    pass


class Row(list):
    pass


@dataclasses.dataclass
class Example:
    x: torch.Tensor
    y: torch.Tensor
    source: str = "camera"

    def __len__(self):
        return len(self.x)


@dataclasses.dataclass(frozen=True)
class Frozen:
    x: torch.Tensor
    y: torch.Tensor


class Named(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor


class Slots:
    __slots__ = ("__label", "x")

    def __init__(self, x, y):
        self.x, self.__label = x, y

    @property
    def y(self):
        return self.__label


class Graph:
    """As graph libraries have them: tensors as attributes, deeper ones in a store that points back."""

    def __init__(self, x, y, edges=None):
        self.store = {"x": x, "y": y} | ({} if edges is None else {"edges": edges})
        self.owner = self

    def __getattr__(self, name):
        if name.startswith("__") or name == "store":
            raise AttributeError(name)
        return self.store[name]

    def to(self, device):
        return Graph(*(part.to(device) for part in self.store.values()))

    @property
    def num_nodes(self):
        return len(self.store["x"])


def by_name(batch):
    return batch.x, batch.y


def by_key(batch):
    return batch["x"], batch["y"]


FORMS = {
    "UserDict": (lambda x, y: Encoding(x=x, y=y), by_key),
    "dict of another type": (lambda x, y: PlainDict(x=x, y=y), by_key),
    "OrderedDict": (lambda x, y: OrderedDict(x=x, y=y), by_key),
    "list of another type": (lambda x, y: Row([x, y]), tuple),
    "dataclass": (Example, by_name),
    "frozen dataclass": (Frozen, by_name),
    "dataclass of arrays": (lambda x, y: Frozen(x.numpy(), y.numpy()), by_name),
    "named tuple": (Named, by_name),
    "slots": (Slots, by_name),
    "object": (Graph, by_name),
    "object in a tuple": (lambda x, y: (Example(x, x), y), lambda batch: (batch[0].x, batch[1])),
    "dict with names": (lambda x, y: {"x": x, "y": y, "file": [f"{v:.3f}" for v in x[:, 0]], "mask": None}, by_key),
}


def make_linear(inputs=3, outputs=2):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Linear(inputs, outputs)


def hessian_by_differences(model, loss, step=1e-5):
    """Central differences of plain gradients, in float64."""
    twin = copy.deepcopy(model).double()
    tensors = list(twin.parameters())

    def gradient():
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss(twin), tensors)])

    columns = []
    for tensor in tensors:
        for entry in tensor.data.view(-1).split(1):
            entry += step
            plus = gradient()
            entry -= 2 * step
            columns.append((plus - gradient()) / (2 * step))
            entry += step
    return torch.stack(columns)


def assert_right(objective, expected, tolerance=1e-6, route="fresh"):
    found = ls.HessianOperator(objective, route=route).dense().double()
    assert (found - expected).norm() <= tolerance * expected.norm()


def objective_on(form, *, uneven=CUTS, reduction="mean", seen=None, **options):
    make, read = FORMS[form]
    batches = [make(X[rows], Y[rows]) for rows in uneven]

    def loss(model, batch):
        if seen is not None:
            seen.append(batch)
        x, y = read(batch)
        return F.cross_entropy(model(x), y, reduction=reduction)

    return ls.Objective.from_loss(make_linear(), loss, batches, **options)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Carrier:
    def __init__(self, **named):
        self.__dict__.update(named)


OTHERS = [
    (X, Y),
    (X, (Y,)),
    ((X, Y), None),
    (X, Y.double()),
    (X.reshape(11, 1, 3), Y),
    {"x": X, "y": Y},
    {"y": X, "x": Y},
    Encoding(x=X, y=Y),
    PlainDict(x=X, y=Y),
    Example(X, Y),
    Example(X, Y, "telescope"),
    Frozen(X, Y),
    Named(X, Y),
    Carrier(x=X, y=Y),
    Carrier(x=X, y=Y, colour=Colour.RED),
    Carrier(x=X, y=Y, colour=Colour.BLUE),
    Carrier(x=X, y=Y, tags={"a", "b"}),
    Carrier(x=X, y=Y, tags={"a", "c"}),
    Carrier(x=X, y=Y, limit=1),
    Carrier(x=X, y=Y, limit=1.0),
    Carrier(x=X, y=Y, limit=True),
    Carrier(x=X, y=Y, limit="1"),
    Carrier(x=X, y=Y, path=Path("a")),
    Carrier(x=X, y=Y, table=np.arange(5000)),
    Carrier(x=X, y=Y, table=np.where(np.arange(5000) == 2500, 0, np.arange(5000))),
    Carrier(x=X, y=Y, inner=Carrier(value=1)),
    Carrier(x=X, y=Y, inner=Carrier(value=2)),
    {"x": X, "y": Y, "file": [str(i) for i in range(11)]},
    {"x": X, "y": Y, "file": [str(i) for i in range(10)] + ["x"]},
]
