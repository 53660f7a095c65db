"""The same small question on the CPU and on another device, and whether what is measured of it is the same."""

from __future__ import annotations

import copy
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import landscape as ls
from landscape.results import Record

#: Fields that tell of the work, not of the answer.
_OF_THE_WORK = ("method", "seconds", "num_", "route", "seed", "settings", "created")


@dataclass
class Side:
    """A small classifier on 30 examples, all of it on one device."""

    device: torch.device
    dtype: torch.dtype = torch.float64

    @cached_property
    def model(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(3)
            model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))
        return model.to(self.device, self.dtype)

    @cached_property
    def data(self) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(1)
        x = torch.randn(30, 4, generator=generator, dtype=torch.float64).to(self.dtype)
        y = (x @ torch.tensor([[1.0, 0, -1], [0, 1, 1], [1, 1, 0], [0, 0, 1]], dtype=self.dtype)).argmax(1)
        return x.to(self.device), y.to(self.device)

    @cached_property
    def objective(self) -> ls.Objective:
        return ls.Objective(self.model, F.cross_entropy, self.data, chunk=13)

    @cached_property
    def line(self) -> ls.Objective:
        """Of one weight and one bias, small enough for many dense Hessians."""
        model = nn.Linear(1, 1, device="meta", dtype=self.dtype).to_empty(device=self.device)
        with torch.no_grad():
            model.weight.fill_(0.5), model.bias.fill_(-1.0)
        return ls.Objective(model, F.mse_loss, (self.data[0][:, :1], self.data[0][:, 1:2]))

    @cached_property
    def hessian(self) -> ls.HessianOperator:
        return ls.HessianOperator(self.objective, route="fresh")

    @cached_property
    def eigs(self) -> ls.Eigenpairs:
        return ls.top_eigenpairs(self.hessian, 3, which="both", tol=1e-6)

    @cached_property
    def theta(self) -> Tensor:
        return self.objective.theta

    @cached_property
    def another(self) -> Tensor:
        """A point beside θ, on the device."""
        return self.theta + 0.3 * ls.random_direction(self.objective, index=7)

    @cached_property
    def optimizer(self) -> torch.optim.Optimizer:
        """Adam after two steps, on a model of its own that is where the other is."""
        model = copy.deepcopy(self.model)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(model(self.data[0]), self.data[1]).backward()
            optimizer.step()
        return optimizer

    @cached_property
    def trained(self) -> ls.Objective:
        """Of the model that the optimizer moves."""
        parameters = iter(self.optimizer.param_groups[0]["params"])
        model = copy.deepcopy(self.model)
        for module in model.modules():
            for name in list(module._parameters):
                module._parameters[name] = next(parameters)
        return ls.Objective(model, F.cross_entropy, self.data, chunk=13)


def numbers(thing: Any) -> dict[str, np.ndarray]:
    """All numbers of an answer, by where they stand in it; what tells of the work is left out."""
    if thing is None or isinstance(thing, (str, bool)):
        return {}
    if isinstance(thing, Tensor):
        return {"": thing.detach().cpu().double().numpy()}
    if isinstance(thing, (int, float, np.ndarray, np.number)):
        array = np.asarray(thing)
        return {"": array.astype(float)} if array.dtype.kind in "fiub" else {}
    if isinstance(thing, dict):
        parts = thing.items()
    elif isinstance(thing, (tuple, list)):
        parts = enumerate(thing)
    elif isinstance(thing, Record) or is_dataclass(thing):
        parts = ((f.name, getattr(thing, f.name)) for f in fields(thing) if not f.name.startswith(_OF_THE_WORK))
    else:
        return {}
    return {f"{name}.{key}".rstrip("."): value for name, part in parts for key, value in numbers(part).items()}


def assert_same(ours: Any, theirs: Any, *, rtol: float = 1e-6) -> None:
    """Equal up to rounding, relative to the largest entry of each array, or of what an error is the error of."""
    left, right = numbers(ours), numbers(theirs)
    assert left.keys() == right.keys(), f"{sorted(left)} against {sorted(right)}"
    assert left, f"{type(ours).__name__} holds no numbers"
    for name, value in left.items():
        other = right[name]
        assert value.shape == other.shape, f"{name}: {value.shape} against {other.shape}"
        both = np.append(value, left.get(name.removesuffix("_error"), value))  # an error may be rounding, all of it
        size = float(np.abs(both[np.isfinite(both)]).max(initial=1e-6))
        np.testing.assert_allclose(value, other, rtol=rtol, atol=rtol * size, err_msg=name)
