"""loss-landscapes: the loss between models, on lines and planes.

What it was seen to do (3.0.6): ``linear_interpolation`` takes a step before it evaluates, so that value i of n stands
at (i + 1)/n, the start is missing and the end is there, while its examples draw value i at i/n; in
``planar_interpolation``, which goes back and forth, even columns stand at (j + 1)/n and odd ones at j/n of the second
direction. It moves the model that it is given and takes its gradients away. Its random directions, uniform on [0, 1),
are not asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.results.crosscheck import WitnessRow
from landscape.witness.dense import worst
from landscape.witness.ours import Ours
from landscape.witness.peers import EXTRA, Given, lent
from landscape.witness.verdicts import NotRun

NAME = "loss-landscapes"
DISTRIBUTION = "loss-landscapes"


def rows(ours: Ours) -> Iterator[WitnessRow]:
    """The losses of our line and our plane."""
    try:
        import loss_landscapes  # type: ignore[import-untyped, import-not-found, unused-ignore]
        from loss_landscapes.metrics import metric  # type: ignore[import-untyped, import-not-found, unused-ignore]
    except ImportError:
        raise NotRun(f"not installed ({EXTRA})") from None
    given = Given(ours.objective)
    loss = _metric(metric.Metric, given)
    theta, d = ours.theta.double(), ours.plane_directions.double()
    radius = float(ours.line.t[-1])
    steps = len(ours.line.t) - 1

    def model(x: float, y: float) -> nn.Module:
        return given.place(given.model(), theta + x * d[:, 0] + y * d[:, 1])

    with lent(ours.settings.seed), torch.no_grad():
        line = loss_landscapes.linear_interpolation(model(-radius, 0), model(radius, 0), loss, steps=steps)
        r, side = float(ours.plane.x[-1]), len(ours.plane.x) - 1
        plane = loss_landscapes.planar_interpolation(model(-r, -r), model(r, -r), model(-r, r), loss, steps=side)
    yield _line(ours, np.asarray(line, dtype=float))
    yield _plane(ours, np.asarray(plane, dtype=float))


def _metric(base: type, given: Given) -> Any:
    """Its own way to say what is evaluated, over all batches, weighed by their examples."""
    shares = [given.objective.weigh(batch) for batch in given.objective.batches.cut(None)]

    class MeanLoss(base):  # type: ignore[misc]
        def __call__(self, wrapper: Any) -> float:
            losses = [float(given.loss(wrapper.forward(inputs), targets)) for inputs, targets in given.batches]
            return sum(s * loss for s, loss in zip(shares, losses, strict=True)) / sum(shares)

    return MeanLoss()


def _line(ours: Ours, theirs: np.ndarray) -> WitnessRow:
    rounding, mine = _drift(ours, len(theirs), ours.line.loss), ours.line.loss

    def shifted() -> str | None:
        row = worst(ours, NAME, "", mine[1:], theirs, rounding=rounding)
        same = row.difference <= row.allowed
        n = len(theirs)
        return f"its line never evaluates its start: value i of {n} stands at (i + 1)/{n}, where ours is the same" \
            if same else None  # fmt: skip

    return worst(
        ours, NAME, f"line: value i at i/{len(theirs)}", mine[:-1], theirs, rounding=rounding,
        causes=[shifted],
    )  # fmt: skip


def _plane(ours: Ours, theirs: np.ndarray) -> WitnessRow:
    mine, n = ours.plane.loss, len(theirs)
    rounding = _drift(ours, n * n, mine)
    read = np.array([[mine[j, i] for j in range(n)] for i in range(n)])
    true = np.array([[mine[j + (i % 2 == 0), i] for j in range(n)] for i in range(n)])

    def back_and_forth() -> str | None:
        row = worst(ours, NAME, "", true.ravel(), theirs.ravel(), rounding=rounding)
        if row.difference > row.allowed:
            return None
        return (
            f"its plane goes back and forth: even columns stand at (j + 1)/{n}, odd ones at j/{n}, where ours is the "
            "same"
        )

    return worst(
        ours, NAME, f"plane: value (i, j) at (i, j)/{n}", read.ravel(), theirs.ravel(), rounding=rounding,
        causes=[back_and_forth],
    )  # fmt: skip


def _drift(ours: Ours, steps: int, losses: np.ndarray) -> float:
    """It adds its steps to the parameters in place: each addition rounds them, and the loss by its slope there."""
    eps = float(torch.finfo(ours.objective.dtype).eps)
    finite = losses[np.isfinite(losses)]
    steepest = float(np.abs(np.diff(finite, axis=0)).max(initial=0.0)) if finite.ndim == losses.ndim else 0.0
    length = float(_length(ours.direction)) * float(ours.line.t[1] - ours.line.t[0])
    return steps * eps * float(ours.theta.norm() + length) * steepest / max(length, 1e-300)


def _length(v: Tensor) -> float:
    return float(v.double().norm())
