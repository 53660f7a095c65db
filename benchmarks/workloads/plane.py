"""The loss on a plane around a trained network, on every point of a grid and from few evaluations."""

from __future__ import annotations

import contextlib
import copy
import importlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.harness import FASTEST_PEER, Answer, Contender, Goal, Run, Workload
from benchmarks.peers import split_like
from benchmarks.reference import remembered

#: How far the grid goes along either direction, in lengths of θ: two per cent short of it, as Landscaper counts.
REACH = 0.5
#: Points of the grid, drawn at random, at which the truth is known.
JUDGED = 200


def workloads(size: str) -> list[Workload]:
    """51 × 51 points; both peers have one way, which meets ours as a plain grid and as it is asked by default."""
    points = 5 if size == "tiny" else 51
    case = "spectrum" if size == "tiny" else "lenet"
    peers = (
        Contender("loss-landscapes", _loss_landscapes(points), "loss_landscapes"),
        Contender("Landscaper", _landscaper(points), "landscaper"),
    )
    shared: dict[str, Any] = {
        "case": case, "others": peers, "judge": largest_error, "error_name": "largest error, of the range",
        "truth": lambda one: truths(one, points),
    }  # fmt: skip
    spanned = lambda one: (directions(one), step(one, points))  # noqa: E731
    title = f"Loss on a plane of {points} × {points} points, {case}"
    every = Contender("ours", ours.plane(points, spanned), role="ours")
    few = Contender("ours, tol=0.01", ours.plane(points, spanned, tol=0.01), role="ours")
    return [
        Workload(
            name="plane", title=f"{title}, each evaluated", ours=every, tolerance=1e-4,
            goals=(Goal("≥ 3 × the fastest peer", FASTEST_PEER, 3, same_answer=False),), **shared,
        ),
        Workload(
            name="plane-adaptive", title=f"{title}, to 1 % of its range", ours=few, tolerance=1e-2, **shared,
        ),
    ]  # fmt: skip


def directions(case: Case) -> Tensor:
    """(P, 2), random, each tensor's share as long as the root of its size: what Landscaper makes of any direction."""
    V = case.vectors(2)
    scaled = [torch.cat([(d * d.numel() ** 0.5 / d.norm()).flatten() for d in split_like(v, case.model)]) for v in V.T]
    return torch.stack([d / d.norm() for d in scaled], dim=1)


def step(case: Case, points: int) -> float:
    """The length of a step of the grid."""
    norm = float(torch.cat([p.detach().flatten() for p in case.model.parameters()]).norm())
    return REACH * norm / (points / 2)


def largest_error(case: Case, answer: Answer) -> float:
    """max |L − truth| over the points that are judged, over the range of the truth; ``loss[along d₁, along d₂]``.

    Where the loss is highest nobody is judged: Landscaper adds noise there.
    """
    points = len(answer.value)
    truth, (i, j) = truths(case, points), _judged(points)
    apart = np.abs(np.asarray(answer.value)[i, j] - truth)[truth < truth.max()]
    return float(apart.max() / np.ptp(truth))


def truths(case: Case, points: int) -> np.ndarray:
    """The loss in float64 at the points that are judged."""
    return remembered(case, f"plane{points}", lambda: _truth(case, points))


def _judged(points: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    i, j = (rng.integers(0, points, JUDGED) for _ in range(2))
    return i, j


def _truth(case: Case, points: int) -> np.ndarray:
    model = copy.deepcopy(case.model).double()
    plane, length = directions(case).double(), step(case, points)
    names = [name for name, _ in model.named_parameters()]
    inputs = case.inputs.double() if case.inputs.is_floating_point() else case.inputs
    losses = []
    for i, j in zip(*_judged(points), strict=True):
        away = length * (plane @ torch.tensor([i - points // 2, j - points // 2], dtype=torch.float64))
        there = {n: p + d for n, p, d in zip(names, model.parameters(), split_like(away, model), strict=True)}
        with torch.no_grad():
            losses.append(float(case.loss(torch.func.functional_call(model, there, inputs), case.targets)))
    return np.array(losses)


def _moved(case: Case, away: Tensor) -> torch.nn.Module:
    model = case.own_model()
    with torch.no_grad():
        for p, d in zip(model.parameters(), split_like(away, model), strict=True):
            p.add_(d)
    return model


def _loss_landscapes(points: int) -> Callable[[Case], Run]:
    """A plane through three models, the first in a corner of the grid; it moves that one, so it gets a fresh one.

    What it calls point (i, j) is where we have it, up to a step: each row in which it walks forth begins a step late,
    and its answer is judged as it stands.
    """

    def prepare(case: Case) -> Run:
        package: Any = importlib.import_module("loss_landscapes")
        metrics: Any = importlib.import_module("loss_landscapes.metrics")
        loss = metrics.Loss(case.loss, *case.data)
        plane, length = directions(case), step(case, points)
        corner = -(points // 2) * length * plane.sum(1)

        def run(repeat: int) -> Answer:
            models = [_moved(case, corner + points * length * d) for d in (torch.zeros(case.dim), *plane.T)]
            with torch.no_grad():
                return Answer(package.planar_interpolation(*models, loss, steps=points))

        return run

    return prepare


def _landscaper(points: int) -> Callable[[Case], Run]:
    def prepare(case: Case) -> Run:
        compute: Any = importlib.import_module("landscaper.compute")
        model = case.own_model()
        dirs = [list(split_like(d, model)) for d in directions(case).T]

        def loss(model: torch.nn.Module, data: tuple[Tensor, Tensor]) -> float:
            return float(case.loss(model(data[0]), data[1]))

        def run(repeat: int) -> Answer:
            with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
                found, _ = compute.compute_loss_landscape(
                    model, case.data, dirs, loss, steps=points, distance=REACH, dim=2, device="cpu"
                )
            return Answer(found)

        return run

    return prepare
