"""Models trained a few steps, saved by us and by other libraries, and what must then be the same to the last bit."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape.params import ParamLayout
from landscape.problems import Problem, get_problem

STEPS = 3


def digits() -> Problem:
    return get_problem("mlp-digits", {"hidden": [6], "num_train": 50})


class Normed(nn.Module):
    """BatchNorm's buffers, and a head tied to the first layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.head = nn.Linear(4, 4)
        self.head.weight = self.first.weight

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.first(x))))


def normed() -> Problem:
    """A factory, named as ``tests.support.foreign:normed``."""
    x = torch.randn(24, 4, generator=torch.Generator().manual_seed(5))
    return Problem(
        build=Normed, loss_fn=functional.cross_entropy, loss_name="cross_entropy",
        train=(x, x.argmax(1)), name="tests.support.foreign:normed",
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))

    def forward(self, x):
        return x + self.mlp(self.ln_1(x))


class TinyGPT(nn.Module):
    """Named as nanoGPT and llm-baselines name theirs; embedding and head are tied."""

    def __init__(self, layers: int = 11, width: int = 4, words: int = 7) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {"wte": nn.Embedding(words, width), "h": nn.ModuleList(Block(width) for _ in range(layers)),
             "ln_f": nn.LayerNorm(width)}
        )  # fmt: skip
        self.lm_head = nn.Linear(width, words, bias=False)
        self.transformer.wte.weight = self.lm_head.weight

    def forward(self, tokens):
        x = self.transformer.wte(tokens)
        for block in self.transformer.h:
            x = block(x)
        return self.lm_head(self.transformer.ln_f(x)).flatten(0, 1)


def language(build=TinyGPT, words: int = 7) -> Problem:
    tokens = torch.randint(words, (6, 5), generator=torch.Generator().manual_seed(2))

    def loss(logits, target):
        return functional.cross_entropy(logits, target.reshape(-1))

    return Problem(
        build=build, loss_fn=loss, loss_name="cross_entropy", train=(tokens[:, :-1], tokens[:, 1:]),
        name="tests.support.foreign:language",
    )  # fmt: skip


def train(problem: Problem, optimizer=None, *, steps: int = STEPS, model: nn.Module | None = None, **options):
    """``(model, optimizer)`` after a few steps; the optimizer is a class, or a function of the model."""
    model = problem.make_model(1) if model is None else model
    make = optimizer or torch.optim.AdamW
    options = {"lr": 0.01, **options} if isinstance(make, type) else options
    built = make(model.parameters(), **options) if isinstance(make, type) else make(model)
    model.train()
    for _ in range(steps):
        built.zero_grad()
        problem.mean_loss(model, problem.train).backward()
        built.step()
    return model.eval(), built


def natively(folder: Path, problem: Problem, model: nn.Module, optimizer=None, step: int = STEPS) -> ls.Checkpoint:
    return ls.load_checkpoint(ls.save_checkpoint(folder, model, step=step, problem=problem, optimizer=optimizer))


def largest(operator) -> float:
    return float(ls.top_eigenpairs(operator, k=1, tol=1e-2, strict=False).values[0])


def assert_same(imported: Path, native: ls.Checkpoint, problem: Problem, *, adaptive: bool = True) -> ls.Checkpoint:
    """All that is stored and all that is measured, bit for bit."""
    found = ls.load_checkpoint(imported)
    assert (found.step, found.params_sha256) == (native.step, native.params_sha256)
    assert (found.aliases, found.num_parameters) == (native.aliases, native.num_parameters)
    assert torch.equal(found.theta(), native.theta())
    ours, theirs = native.buffers(), found.buffers()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    objectives = [checkpoint.objective(problem) for checkpoint in (native, found)]
    assert objectives[0].loss() == objectives[1].loss()
    hessians = [ls.HessianOperator(objective, route="fresh") for objective in objectives]
    assert largest(hessians[0]) == largest(hessians[1])
    if adaptive:
        assert_same_state(found, native)
        layouts = [ParamLayout.of(checkpoint.model(problem)) for checkpoint in (native, found)]
        scales = [ls.preconditioner(c.optimizer_state(), l) for c, l in zip((native, found), layouts, strict=True)]
        assert torch.equal(*scales)
        assert largest(ls.PreconditionedOperator(hessians[0], scales[0])) == largest(
            ls.PreconditionedOperator(hessians[1], scales[1])
        )
    return found


def assert_same_state(found: ls.Checkpoint, native: ls.Checkpoint) -> None:
    """Class, groups by name, and each number of the state."""
    ours, theirs = native.optimizer_state(), found.optimizer_state()
    assert theirs is not None
    assert ours["class"] == theirs["class"]
    keep = ("params", "lr", "weight_decay")
    assert [{k: g[k] for k in keep} for g in ours["param_groups"]] == [
        {k: g[k] for k in keep} for g in theirs["param_groups"]
    ]
    assert ours["state"].keys() == theirs["state"].keys()
    for name, part in ours["state"].items():
        assert part.keys() == theirs["state"][name].keys()
        for key, value in part.items():
            other = theirs["state"][name][key]
            assert torch.equal(torch.as_tensor(value), torch.as_tensor(other)), (name, key)


class Evil:
    """A pickle of this makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)
