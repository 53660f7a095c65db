"""The loss along the line between two states of a training."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks import ours
from benchmarks.cases import Case
from benchmarks.harness import Answer, Contender, Run, Workload
from benchmarks.reference import remembered


def workloads(size: str) -> list[Workload]:
    """Twenty points from the first snapshot to the last; ours evaluates the start as well, and leaves it out."""
    points = 4 if size == "tiny" else 20
    return [
        Workload(
            name="line",
            title=f"Loss at {points} points between two checkpoints",
            case="spectrum" if size == "tiny" else "lenet",
            ours=Contender("ours", ours.line(points), role="ours"),
            others=(Contender("loss-landscapes", _loss_landscapes(points), "loss_landscapes"),),
            judge=largest_error,
            error_name="largest relative error",
            tolerance=1e-4,
            sampled=True,
            truth=lambda case: _truths(case, points),
        )
    ]


def largest_error(case: Case, answer: Answer) -> float:
    """max |L − truth| over the points, over the largest truth."""
    truth = _truths(case, len(answer.value))
    return float(np.abs(np.asarray(answer.value) - truth).max() / np.abs(truth).max())


def _truths(case: Case, points: int) -> np.ndarray:
    return remembered(case, f"line{points}", lambda: _truth(case, points))


def _truth(case: Case, points: int) -> np.ndarray:
    """In float64, buffers as they are in the last state."""
    first, last = case.snapshots[0], case.snapshots[-1]
    names = [name for name, _ in case.model.named_parameters()]
    model = copy.deepcopy(case.model).double()
    inputs = case.inputs.double() if case.inputs.is_floating_point() else case.inputs
    losses = []
    for t in np.arange(1, points + 1) / points:
        mixed = {n: (1 - t) * first[n].double() + t * last[n].double() for n in names}
        with torch.no_grad():
            losses.append(float(case.loss(torch.func.functional_call(model, mixed, inputs), case.targets)))
    return np.array(losses)


def _loss_landscapes(points: int) -> Callable[[Case], Run]:
    """It moves the model it is given along the line and leaves it at the end, so it gets a fresh one each time."""

    def prepare(case: Case) -> Run:
        package: Any = importlib.import_module("loss_landscapes")
        metrics: Any = importlib.import_module("loss_landscapes.metrics")
        loss = metrics.Loss(case.loss, *case.data)

        def run(repeat: int) -> Answer:
            first, last = (case.at(case.snapshots[i]).model for i in (0, -1))
            with torch.no_grad():
                return Answer(package.linear_interpolation(first, last, loss, steps=points))

        return run

    return prepare
