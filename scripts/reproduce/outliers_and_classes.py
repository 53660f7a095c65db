#!/usr/bin/env python
"""Outlying Hessian eigenvalues of a classifier: one fewer than classes.

ReLU MLPs trained on the digits of C classes out of ten, all to the same loss; the outliers are what the widest gap,
by ratio, parts from the bulk. The seeds are others than those by which the claim was found. Two minutes on one core.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.palette import BLUE, GREEN, GREY, RED
from shared.training import trained

import landscape as ls
from landscape import plots
from landscape.plots.style import panels
from landscape.problems import Problem
from landscape.problems.base import Examples
from landscape.problems.builtin.networks import MLP
from landscape.problems.recipe import Recipe

CLASSES = (2, 3, 4, 5, 6, 8, 10)
SEEDS = tuple(range(5, 15))
HIDDEN = (64, 64)
LOSS = 0.05  # where training ends
PAIRS = 40  # largest eigenvalues, whatever C: the widest gap is looked for among them
SHOWN = {3: GREEN, 6: RED, 10: BLUE}


@dataclass(frozen=True)
class Found:
    """Number of outliers, and the largest eigenvalues, by (C, seed)."""

    counts: dict[tuple[int, int], int]
    largest: dict[tuple[int, int], np.ndarray]


def digits_of(count: int, seed: int) -> Problem:
    """An MLP on ``count`` digits, which ones depends on the seed."""
    whole = ls.get_problem("mlp-digits")
    chosen = torch.as_tensor(np.sort(np.random.default_rng(seed).choice(10, count, replace=False)))

    def only_those(examples: Examples) -> Examples:
        inputs, targets = examples
        kept = torch.isin(targets, chosen)
        return inputs[kept], torch.searchsorted(chosen, targets[kept])

    return Problem(
        build=partial(MLP, 64, HIDDEN, count, activation="relu"),
        loss_fn=torch.nn.functional.cross_entropy,
        loss_name="cross_entropy",
        train=only_those(whole.train),
        test=only_those(whole.test),
        num_classes=count,
        recipe=Recipe("sgd", batch_size=64, epochs=200),
    )


def outliers(count: int, seed: int, *, loss: float) -> tuple[int, np.ndarray]:
    """How many eigenvalues lie above the widest gap once trained, and the largest PAIRS eigenvalues."""
    problem = digits_of(count, seed)
    model = trained(problem, until=loss, lr=0.1, seed=seed)
    H = ls.HessianOperator(problem.objective(model))
    values = ls.top_eigenpairs(H, PAIRS, tol=1e-2, strict=False).values
    return int(np.argmax(values[:-1] / values[1:])) + 1, values


def measure(quick: bool) -> Found:
    """Outliers for every number of classes and seed."""
    classes, seeds, loss = ((3,), SEEDS[:1], 1.0) if quick else (CLASSES, SEEDS, LOSS)
    found = {(c, s): outliers(c, s, loss=loss) for c in classes for s in seeds}
    return Found({at: count for at, (count, _) in found.items()}, {at: values for at, (_, values) in found.items()})


def by_classes(found: Found) -> dict[int, np.ndarray]:
    """Counts of every seed, by number of classes."""
    classes = sorted({c for c, _ in found.counts})
    return {c: np.array([n for (k, _), n in found.counts.items() if k == c]) for c in classes}


def judge(found: Found) -> tuple[str, bool]:
    """Held if the median over seeds is C − 1, for each C."""
    counts = by_classes(found)
    words = "; ".join(f"C = {c}: {', '.join(map(str, numbers))}" for c, numbers in counts.items())
    medians = {c: float(np.median(numbers)) for c, numbers in counts.items()}
    exactly = sum(int((numbers == c - 1).sum()) for c, numbers in counts.items())
    said = f"exactly C − 1 in {exactly} of {sum(map(len, counts.values()))} networks"
    others = [f"{median:g} for C = {c}" for c, median in medians.items() if median != c - 1]
    said += f", the median C − 1 for every C but {', '.join(others)}" if others else ", the median C − 1 for every C"
    return f"{said}; outliers, one number per seed: {words}", not others


def draw(found: Found) -> Figure:
    """Left, outliers against classes; right, the largest eigenvalues, outliers filled."""
    figure, (left, right) = panels(2, columns=2, row_height=2.4)
    counts = by_classes(found)
    for c, numbers in counts.items():
        spread = 0.12 * (np.arange(len(numbers)) - (len(numbers) - 1) / 2)
        left.plot(c + spread, numbers, "o", color=BLUE, markersize=3.5, label="a network")
    line = np.array([2, 10])
    left.plot(line, line - 1, color=GREY, linewidth=0.8, label="C − 1", zorder=0)
    left.plot(line, line, color=GREY, linewidth=0.8, linestyle=(0, (4, 2)), label="C", zorder=0)
    left.set_xlabel("number of classes C")
    left.set_ylabel("outlying eigenvalues")
    for c, color in SHOWN.items():
        if (c, SEEDS[0]) in found.largest:
            values, outside = found.largest[c, SEEDS[0]], found.counts[c, SEEDS[0]]
            rank = np.arange(1, len(values) + 1)
            right.plot(rank, values, color=color, linewidth=0.7)
            right.plot(rank[:outside], values[:outside], "o", color=color, markersize=3.5, label=f"outliers, C = {c}")
            right.plot(rank[outside:], values[outside:], "o", color=color, markersize=3.5, markerfacecolor="white")
    right.set_yscale("log")
    right.set_xlabel("rank of the eigenvalue")
    right.set_ylabel("eigenvalue (loss/parameter²)")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="outliers_and_classes",
    claim="The Hessian of a classifier trained on C classes has C − 1 outlying eigenvalues.",
    source="Sagun, Evci, Güney, Dauphin & Bottou (2017), arXiv:1706.04454, section 3, and Papyan (2019), ICML, for "
    "about as many as classes",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "set-up",
            "with three seeds the medians were 6 for C = 8 and 8 for C = 10, and the verdict on C to within one no; "
            "with five it was yes.",
        ),
        Change(
            "claim",
            "C to within one is what C − 1 passes everywhere. C − 1 is what those five seeds showed; it is put to the "
            "test on ten others, whose median has to meet it.",
            held_before=True,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
