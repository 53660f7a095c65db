"""What must hold of a model in shards beside its numbers: seen on two ranks, given back as plain values."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape import distributed
from tests.support.sharded_models import (
    MODELS,
    asked,
    at_the_root,
    built,
    by_columns_and_rows,
    by_layer,
    by_rows,
    differences,
    even,
    in_full,
    inputs,
    normalised,
    perceptron,
    seeded,
    stood,
)


def gradients_are_the_models_own() -> dict[str, float]:
    """How far the gradient of one batch is from that of the model's own backward pass, which all ranks make."""
    found = {}
    for name in MODELS:
        model, objective = built(name), None
        x, y = inputs(name), torch.arange(12) % 2
        model.eval()
        output = model(x)
        output = output.flatten(1) if name == "FSDP of tied weights" else output
        loss = functional.mse_loss(output, y[:, None].expand_as(output).double())
        loss.backward()
        own = torch.cat([in_full(p.grad).reshape(-1) for p in model.parameters()])

        def of_output(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            output = output.flatten(1)
            return functional.mse_loss(output, target[:, None].expand_as(output).double())

        objective = ls.Objective(model, of_output, (x, y))
        found[name] = float((objective.gradient() - own).norm() / own.norm())
    return found


def changes() -> dict[str, list[str]]:
    """What differs of a model after it was measured, in each of the states in which one may stand."""
    found = {}
    for name in MODELS:
        found[f"{name}, between forward and backward"] = _in_between(name)
        model = built(name)
        before = stood(model)
        _measure(model, name)
        with torch.no_grad():
            for parameter in distributed.gathered(model).parameters():
                parameter.add_(1)  # the copy is one
        found[f"{name}, never called"] = differences(before, stood(model))
        model(inputs(name)).square().mean().backward()
        before = stood(model)
        _measure(model, name)
        found[f"{name}, after a step"] = differences(before, stood(model))
        with torch.no_grad():
            model.eval()(inputs(name))
        whole = stood(model)  # FSDP leaves its root whole now
        _measure(model, name)
        found[f"{name}, as it stands after a forward pass"] = differences(whole, stood(model))
    return found


def _in_between(name: str) -> list[str]:
    gradients = []
    for is_measured in (False, True):
        model = built(name)
        loss = model(inputs(name)).square().mean()
        if is_measured:
            _measure(model, name)
        loss.backward()
        gradients.append([in_full(p.grad) for p in model.parameters()])
    return [] if all(map(torch.equal, *gradients)) else ["the gradient"]


def _measure(model: nn.Module, name: str) -> None:
    objective = asked(model, name)
    H = ls.HessianOperator(objective, route="fresh")
    H @ torch.ones(H.dim, dtype=torch.float64)


def training_goes_on(name: str = "FSDP by layer") -> list[float]:
    """Losses of a training that is measured between its steps, beside those of one that is not."""
    losses = []
    for is_measured in (False, True):
        model = built(name)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
        for _ in range(4):
            loss = model(inputs(name)).square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            if is_measured:
                _measure(model, name)
        losses.append(float(loss.detach()))
    return losses


def moved() -> list[str]:
    """What is said of an objective whose model has been trained on, and of a new one."""
    said = []
    for name in ("FSDP by layer", "tensor parallelism"):
        model = built(name)
        objective = asked(model, name)
        theta = objective.theta
        model(inputs(name)).square().mean().backward()
        torch.optim.SGD(model.parameters(), lr=0.1, foreach=False).step()
        try:
            objective.loss()
        except ls.ObjectiveError as error:
            said.append(str(error))
        assert objective.loss(theta) > 0
        assert not torch.equal(asked(model, name).theta, theta)
    model = seeded(perceptron)
    objective = asked(model, "FSDP by layer")
    by_layer(model)
    try:
        objective.loss()
    except ls.ObjectiveError as error:
        said.append(str(error))
    return said


class HalvesItsHeads(nn.Module):
    """As code is that is written for tensor parallelism: it counts the heads that it has on its rank."""

    def __init__(self) -> None:
        super().__init__()
        self.inside, self.heads = nn.Linear(4, 8), 4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inside(x).view(len(x), self.heads, -1).sum(1)


def _unlike_on_ranks() -> nn.Module:
    model = seeded(normalised)
    model[1].running_mean += torch.distributed.get_rank()
    return by_layer(model)


def _twice() -> nn.Module:
    return by_rows(seeded(even), times=2.0)


def refusals() -> dict[str, str]:
    """What is said of what cannot be measured."""
    x, y = inputs(""), torch.zeros(12, 1, dtype=torch.float64)
    images = inputs("FSDP with BatchNorm")
    made: dict[str, Any] = {}

    def alone() -> None:
        with distributed.alone():
            ls.Objective(made["FSDP"], functional.mse_loss, (x, y))

    def other_model() -> None:
        other = by_layer(seeded(even))
        ls.Objective(other if torch.distributed.get_rank() else made["FSDP"], functional.mse_loss, (x, y))

    made["FSDP"] = by_layer(seeded(perceptron))
    optimizer = torch.optim.SGD(made["FSDP"].parameters(), lr=0.1)
    objective = ls.Objective(made["FSDP"], functional.mse_loss, (x, y))
    ways = {
        "alone": alone,
        "another model": other_model,
        "buffers": lambda: ls.Objective(_unlike_on_ranks(), functional.cross_entropy, (images, torch.arange(12) % 2)),
        "another function": lambda: ls.Objective(_twice(), functional.mse_loss, (x, y)),
        "a monitor": lambda: ls.Monitor(made["FSDP"], functional.mse_loss, (x, y)),
        "a monitor of an objective": lambda: ls.Monitor(objective),
        "a writer": lambda: ls.CheckpointWriter("nowhere", made["FSDP"]),
        "a model for its optimizer": lambda: ls.optimizer_update(made["FSDP"], optimizer),
        "a living optimizer": lambda: ls.optimizer_update(objective, optimizer),
    }
    said = {}
    for name, way in ways.items():
        try:
            way()
        except ls.LandscapeError as error:
            said[name] = f"{type(error).__name__}: {error}"
    return said


def another_shape() -> list[str]:
    """A model whose code counts on its part of the outputs, and one whose outputs lie apart: an error, a warning."""
    said = []
    x, y = inputs("")[:, :4], torch.zeros(12, 2, dtype=torch.float64)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

    mesh = init_device_mesh("cpu", (2,))
    model = parallelize_module(seeded(HalvesItsHeads), mesh, {"inside": ColwiseParallel()})
    model.heads = 2
    try:
        ls.Objective(model, functional.mse_loss, (x, y))
    except ls.ObjectiveError as error:
        said.append(str(error))
    model = parallelize_module(seeded(lambda: nn.Sequential(nn.Linear(4, 2))), mesh, {"0": ColwiseParallel()})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ls.Objective(model, functional.cross_entropy, (x, torch.arange(12) % 2))
    return [*said, *(str(one.message) for one in caught if "shards" in str(one.message))]


def saved(folder: str) -> dict[str, Any]:
    """Checkpoints of models in shards, with their optimizers, beside what was gathered of both."""
    found: dict[str, Any] = {}
    for name in sorted(MODELS.keys() - {"DTensor by rows"}):  # of which AdamW takes no gradients
        model = built(name)
        optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, foreach=False)
        model(inputs(name)).square().mean().backward()
        optimizer.step()
        with torch.no_grad():
            model.eval()(inputs(name))  # the root stands whole
        place = Path(folder, name.replace(" ", "-"))
        path = ls.save_checkpoint(place, model, step=1, optimizer=optimizer, resume={"momenta": [1, 2]})
        plain = distributed.gathered(model)
        moments = [in_full(optimizer.state[p]["exp_avg"]) for group in optimizer.param_groups for p in group["params"]]
        read = ls.load_checkpoint(path)
        state = read.optimizer_state()
        found[name] = {
            "parameters": all(torch.equal(read.params()[n], p.detach()) for n, p in plain.named_parameters()),
            "names": list(read.params()) == [n for n, _ in plain.named_parameters()],
            "buffers": all(torch.equal(read.buffers()[n], b) for n, b in plain.named_buffers()),
            "aliases": read.aliases,
            "moments": all(
                torch.equal(state["state"][n]["exp_avg"], moment)
                for (n, _), moment in zip(plain.named_parameters(), moments, strict=True)
            ),
            "files": sorted(one.name for one in place.iterdir()),
        }
    return found


def saved_alone(folder: str) -> str:
    """What is said where one rank alone saves."""
    model = at_the_root(seeded(even))
    try:
        with distributed.alone():
            ls.save_checkpoint(folder, model, step=1)
    except ls.LandscapeError as error:
        return str(error)
    return ""


def described() -> list[str]:
    """How objectives of models in shards print, and what a loss of the model itself gives."""
    model = by_columns_and_rows(seeded(even))
    x, y = inputs(""), torch.zeros(12, 1, dtype=torch.float64)
    objective = ls.Objective.from_loss(model, lambda m, batch: functional.mse_loss(m(batch[0]), batch[1]), (x, y))
    own = functional.mse_loss(in_full(model(x)), y)
    assert abs(objective.loss() - float(own)) < 1e-12
    return [repr(objective), repr(asked(built("FSDP by layer"), "FSDP by layer"))]


def everything(folder: str) -> dict[str, Any]:
    return {
        "gradients": gradients_are_the_models_own(), "changes": changes(), "training": training_goes_on(),
        "moved": moved(), "refusals": refusals(), "another shape": another_shape(), "saved": saved(folder),
        "saved alone": saved_alone(folder), "described": described(),
    }  # fmt: skip
