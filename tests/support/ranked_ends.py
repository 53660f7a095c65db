"""Ranks that do not all come to the end of what they were to measure together."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape import distributed
from tests.support.ranked_questions import perceptron

FOREVER = 100_000


def _operator() -> ls.HessianOperator:
    torch.manual_seed(0)
    return ls.HessianOperator(perceptron(chunk=16), route="fresh")


def killed(rank: int, folder: str) -> None:
    """One is killed while all multiply, and notes when."""
    H = _operator()
    v = torch.ones(H.dim)
    for count in range(FOREVER):
        if count == 20 and distributed.current().rank == rank:
            Path(folder, "killed").write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
        v = H @ v / (H @ v).norm()


def killed_while_others_are_told_to_end(rank: int, folder: str) -> None:
    """As torchrun does it: the others are sent SIGTERM before they can have heard."""
    others = [pid for pid in distributed.current().all(os.getpid(), "process numbers") if pid != os.getpid()]
    H = _operator()
    v = torch.ones(H.dim)
    for count in range(FOREVER):
        if count == 20 and distributed.current().rank == rank:
            for pid in others:
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)
        v = H @ v / (H @ v).norm()


def raises(rank: int) -> None:
    """One raises, outside of what is measured together."""
    H = _operator()
    v = torch.ones(H.dim)
    for count in range(FOREVER):
        if count == 20 and distributed.current().rank == rank:
            raise ValueError("the file of the labels is missing")
        v = H @ v / (H @ v).norm()


class Fails(nn.Module):
    """A model that raises where it is shown a large number, which one rank has."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, x):
        if self.armed and float(x.max()) > 50:
            raise KeyError("no such word")
        return self.linear(x)


def meets_an_error(rank: int) -> tuple[str, str, float]:
    """What all are told of an error that the part of one has; and that they go on together."""
    x = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    x[20 * rank + 5] = 100.0
    torch.manual_seed(0)
    model = Fails()
    model.armed = False
    objective = ls.Objective(model, functional.cross_entropy, (x, torch.arange(40) % 2), chunk=10)
    model.armed = True
    try:
        objective.gradient()
    except ls.ObjectiveError as error:
        said, kind = str(error), type(error).__name__
    model.armed = False
    return kind, said, objective.loss()


def come_apart() -> list[str]:
    """Other vectors, other data, other models, another call: what is said of each."""
    H, rank = _operator(), distributed.current().rank
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(40, dtype=torch.long)
    same = nn.Linear(5, 3)
    torch.manual_seed(rank)
    other = nn.Linear(5, 3)
    said = []
    for work in (
        lambda: H @ torch.full((H.dim,), 1.0 + rank),
        lambda: H.objective.loss() if rank else H.objective.loss(1.01 * H.theta),
        lambda: ls.Objective(same, functional.cross_entropy, (x + rank, y)),
        lambda: ls.Objective(other, functional.cross_entropy, (x, y)),
    ):
        try:
            work()
        except ls.LandscapeError as error:
            said.append(str(error))
    return said


def one_leaves() -> None:
    """One ends its script early, and the other would wait for ever."""
    H = _operator()
    if distributed.current().rank == 0:
        H @ torch.ones(H.dim)


def wait_for_different_things() -> None:
    """One passed over an error of its own, and is ahead of the others."""
    H = _operator()
    if distributed.current().rank == 0:
        H @ torch.ones(H.dim)
    distributed.agreed(1, "a choice")


def one_measures_alone() -> float:
    """As in a training on several ranks, of which one looks at the curvature."""
    distributed.current()
    if torch.distributed.get_rank() == 0:
        with distributed.alone():
            H = _operator()
            return float(ls.trace(H, method="hutchinson", num_probes=2).value)
    return 0.0


def _sharded() -> nn.Module:
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    return fully_shard(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)))


def saves_on_one(folder: str) -> None:
    """A model in shards, and a script that saves as one without them does."""
    model = _sharded()
    if distributed.current().rank == 0:
        ls.save_checkpoint(folder, model, step=1)


def killed_while_gathering(rank: int) -> None:
    """One is killed between two parameters."""
    model = _sharded()
    if distributed.current().rank == rank:
        parameter = dict(model.named_parameters())["2.weight"]
        type(parameter).full_tensor = lambda self: os.kill(os.getpid(), signal.SIGKILL)
    distributed.gathered(model)


def raises_in_forward(rank: int) -> None:
    """One meets an error in the forward pass of a model in shards, as for lack of memory, and the other waits in it."""
    model = _sharded()
    x = torch.randn(40, 5, generator=torch.Generator().manual_seed(0))
    model(x).mean().backward()
    if distributed.current().rank == rank:
        model.register_forward_pre_hook(_fails, prepend=True)
    ls.Objective(model, functional.cross_entropy, (x, torch.arange(40) % 3))


def _fails(module: nn.Module, inputs: object) -> None:
    if any(type(part).__name__.startswith("FSDP") for part in module.modules()):
        raise MemoryError("no room for the parameters")
