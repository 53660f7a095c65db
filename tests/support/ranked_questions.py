"""Questions that several ranks and one process must answer alike, and what they answer, as plain arrays."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import landscape as ls
from landscape import distributed

ROUTES = ("fresh", "retained", "linearized", "forward", "differences", "linearized/blocks-4")


class TiedLanguageModel(nn.Module):
    """Words in, logits of the next ones out, by the same table."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(11, 6)
        self.inside = nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.out = nn.Linear(6, 11, bias=False)
        self.out.weight = self.words.weight

    def forward(self, tokens):
        return self.out(self.norm(torch.tanh(self.inside(self.words(tokens)).cumsum(1))))


def of_tokens(outputs, target):
    return functional.cross_entropy(outputs.flatten(0, 1), target.flatten(), ignore_index=-100)


def perceptron(count: int = 103, **options: Any) -> ls.Objective:
    """103 examples in batches of 40, 40 and 23, cut into chunks that no number of ranks divides."""
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3))
    x, y = torch.randn(count, 5), torch.randint(3, (count,))
    batches = list(zip(x.split(40), y.split(40), strict=True))
    return ls.Objective(model, functional.cross_entropy, batches, **options)


def language_model(**options: Any) -> ls.Objective:
    """Tied weights; examples of which different numbers of tokens count."""
    tokens = torch.randint(11, (29, 6))
    target = tokens.roll(-1, 1).masked_fill(torch.rand(29, 6) < 0.3, -100)
    return ls.Objective(
        TiedLanguageModel(), of_tokens, (tokens, target), weight=lambda batch: (batch[1] != -100).sum(), chunk=4,
        **options,
    )  # fmt: skip


def normalised(mode: str, **options: Any) -> ls.Objective:
    """Batch normalisation, with running statistics of its own."""
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 16, 2))
    x, y = torch.randn(37, 1, 6, 6), torch.randint(2, (37,))
    with torch.no_grad():
        model(x + 0.3)
    return ls.Objective(model, functional.cross_entropy, (x, y), mode=mode, **options)


def pairs(**options: Any) -> ls.Objective:
    """A loss over pairs within a batch: three batches that stay whole."""
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2))

    def apart(outputs, target):
        return (outputs[:, None] - outputs[None]).square().sum(2).sigmoid().mean() - target.mean() * outputs.mean()

    batches = [(torch.randn(n, 4), torch.ones(n)) for n in (6, 5, 4)]
    return ls.Objective(model, apart, batches, interacting=True, **options)


QUESTIONS = {
    "chunks of 16": lambda **how: perceptron(chunk=16, **how),
    "one chunk, cut finer for the ranks": lambda **how: perceptron(**how),
    "a language model with tied weights": language_model,
    "BatchNorm": lambda **how: normalised("eval", chunk=8, **how),
    "BatchNorm in training mode, which is one batch": lambda **how: normalised("train", **how),
    "batches that stay whole": pairs,
}


def made(name: str, dtype: torch.dtype) -> ls.Objective:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return QUESTIONS[name](dtype=dtype)


def direction(size: int, dtype: torch.dtype, columns: int = 5) -> torch.Tensor:
    return torch.randn(size, columns, generator=torch.Generator().manual_seed(3), dtype=torch.float64).to(dtype)


def products(name: str, dtype: torch.dtype, routes: tuple[str, ...] = ROUTES) -> dict[str, np.ndarray]:
    """Loss, gradient and products by several routes."""
    objective = made(name, dtype)
    V = direction(objective.layout.size, dtype)
    loss, gradient = objective.loss_and_gradient()
    found = {
        "loss": objective.loss(), "loss beside the gradient": loss, "gradient": gradient,
        "product": objective.hvp(V[:, 0]),
    }  # fmt: skip
    for route in routes:
        H = ls.HessianOperator(objective, route=route)
        found |= {f"{route} alone": H @ V[:, 0], f"{route} in a block": H @ V}
        found[f"{route} elsewhere"] = H.at(1.1 * objective.theta) @ V[:, 0]
    return _plain(found)


def estimates(name: str, dtype: torch.dtype) -> dict[str, np.ndarray]:
    """What estimators and slices make of it."""
    objective = made(name, dtype)
    H = ls.HessianOperator(objective)
    eigs = ls.top_eigenpairs(H, 3, which="both", tol=1e-6)
    density = ls.spectral_density(H, num_probes=2, num_steps=8)
    # Not along an eigenvector, whose sign hangs on rounding.
    line = ls.evaluate_line(objective, direction(objective.layout.size, dtype)[:, 0], radius=0.2, points=5)
    plane = ls.evaluate_plane(objective, ls.random_plane(objective), radius=0.3, points=5)
    found = {
        "eigenvalues": eigs.values, "trace": ls.trace(H, method="hutchinson", num_probes=5).value,
        "trace, whichever way": ls.trace(H).value, "density": density.nodes, "weights": density.weights,
        "line": line.loss, "plane": plane.loss, "block": H.block([objective.layout.names[0]]).dense(),
    }  # fmt: skip
    if name not in ("a language model with tied weights", "batches that stay whole"):
        plane = ls.evaluate_plane(objective, ls.random_plane(objective), points=5, metrics=["accuracy"], tol=0.05)
        found |= {"interpolated": plane.loss, "accuracy": plane.metric_values}
    if objective.module.is_separable and name != "batches that stay whole":
        V = direction(objective.layout.size, dtype)
        G = ls.GaussNewtonOperator(objective)
        found |= {"Gauss-Newton": G @ V, "its form": G.quadratic_form(V[:, 1])}
        for kind in ("exact", "mc", "empirical"):
            found[f"{kind} Fisher"] = ls.FisherOperator(objective, kind=kind, likelihood="categorical") @ V
    return _plain(found)


def answers(names: list[str], dtype: torch.dtype) -> dict[str, dict[str, np.ndarray]]:
    """Of several questions."""
    routes = ROUTES if dtype == torch.float64 else ("auto",)
    return {name: products(name, dtype, routes) | estimates(name, dtype) for name in names}


def few_answers() -> dict[str, Any]:
    """Of one question, in a second: what was found, what was exchanged for a gradient, a product and a block of five,
    and the tangent of an all-reduce in forward mode."""
    found = products("chunks of 16", torch.float64, ("fresh", "linearized"))
    objective = made("chunks of 16", torch.float64)
    H, V = ls.HessianOperator(objective, route="fresh"), direction(objective.layout.size, torch.float64)
    # Of a basis that restarts, of which each rank holds a slice.
    found |= _plain({"eigenvalues": ls.top_eigenpairs(H, 2, max_basis=8, tol=1e-6).values})
    exchanged = []
    for work in (objective.gradient, lambda: H @ V[:, 0], lambda: H @ V):
        before = calls()
        work()
        exchanged.append(calls() - before)
    return {
        "found": found, "exchanged": exchanged, "size": objective.layout.size, "tangent": tangent_of_a_sum(),
        "held": None if objective.sums is None else objective.sums.weight, "wrapped": wrapped(),
    }  # fmt: skip


def wrapped() -> list[Any]:
    """Names of θ and losses of a model that is plain, in DistributedDataParallel, and in shards."""
    if distributed.current() is None:
        return []
    from torch.distributed.fsdp import fully_shard

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, data = nn.Linear(5, 2), (torch.randn(12, 5), torch.arange(12) % 2)
        plain = ls.Objective(model, functional.cross_entropy, data)
        copied = ls.Objective(nn.parallel.DistributedDataParallel(model), functional.cross_entropy, data)
        gathered = ls.Objective(fully_shard(copy.deepcopy(model)), functional.cross_entropy, data)
    return [[list(one.layout.names), one.loss()] for one in (plain, copied, gathered)]


def tangent_of_a_sum() -> float | None:
    """Along 1, of the sum of x over ranks: as many as there are, if forward mode crossed it."""
    if distributed.current() is None:
        return None
    from torch.distributed import _functional_collectives as collectives

    def summed(x: torch.Tensor) -> torch.Tensor:
        return collectives.wait_tensor(collectives.all_reduce(x, "sum", list(range(distributed.current().world))))

    return float(torch.func.jvp(summed, (torch.ones(()),), (torch.ones(()),))[1])


def resumed_plane(folder: str) -> tuple[np.ndarray, float]:
    """A plane that another process, or other ranks, may have begun; and how often a loss was evaluated here."""
    objective = made("chunks of 16", torch.float64)
    evaluated = 0
    original = type(objective).loss

    def counting(self: ls.Objective, *args: Any) -> float:
        nonlocal evaluated
        evaluated += 1
        return original(self, *args)

    type(objective).loss = counting  # type: ignore[method-assign]
    try:
        plane = ls.evaluate_plane(objective, ls.random_plane(objective), radius=0.3, points=5, resume=folder)
    finally:
        type(objective).loss = original  # type: ignore[method-assign]
    return plane.loss, evaluated


def calls() -> np.ndarray:
    """All-reduces and bytes so far."""
    group = distributed.current()
    return np.zeros(2, int) if group is None else np.array([group.traffic.calls, group.traffic.bytes])


def _plain(found: dict[str, Any]) -> dict[str, np.ndarray]:
    return {key: torch.as_tensor(value, dtype=torch.float64).detach().numpy().copy() for key, value in found.items()}
