#!/usr/bin/env python
"""A Hessian-vector product by double backward takes the time of two to four gradients.

Products and gradients on the same 512 digits, in turns, by processor time, which others on the machine disturb least;
times stand here only as ratios. A minute on one core.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREY, RED

import landscape as ls
from landscape import plots

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "LeNet-5": ("lenet-digits", {}),
    "MLP 100-100": ("mlp-digits", {}),
    "MLP 400-400": ("mlp-digits", {"hidden": [400, 400]}),
}
EXAMPLES, ROUNDS, WARM_UP = 512, 40, 3
LEAST, MOST = 2.0, 4.0
WAYS = {"double backward": BLUE, "landscape, once recorded": RED}
Ratios = dict[str, dict[str, np.ndarray]]  # network → way → (rounds,) times over the gradient's of the same round


def workers(name: str, config: dict[str, Any], *, examples: int) -> dict[str, Callable[[], Any]]:
    """What is timed: a gradient, a product by double backward, a product by landscape's operator."""
    problem = ls.get_problem(name, config)
    model = problem.make_model(0)
    x, y = (part[:examples] for part in problem.train)
    parameters = list(model.parameters())
    generator = torch.Generator().manual_seed(0)
    v = [torch.randn(p.shape, generator=generator) for p in parameters]
    H = ls.HessianOperator(ls.Objective(model, problem.loss_fn, (x, y)), expected_matvecs=500)
    flat = torch.cat([part.flatten() for part in v])

    def gradient() -> Any:
        return torch.autograd.grad(problem.mean_loss(model, (x, y)), parameters)

    def double_backward() -> Any:
        first = torch.autograd.grad(problem.mean_loss(model, (x, y)), parameters, create_graph=True)
        return torch.autograd.grad(first, parameters, grad_outputs=v)

    return {"gradient": gradient, **dict(zip(WAYS, (double_backward, lambda: H @ flat), strict=True))}


def ratios(work: dict[str, Callable[[], Any]], rounds: int) -> dict[str, np.ndarray]:
    """Times over the gradient's, round by round; the order turns, so that none always follows the same other."""
    seconds: dict[str, list[float]] = {name: [] for name in work}
    gc.collect()
    gc.disable()
    try:
        for turn in range(WARM_UP + rounds):
            names = list(work)
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                started = time.process_time()
                work[name]()
                seconds[name].append(time.process_time() - started)
    finally:
        gc.enable()
    counted = {name: np.array(times[WARM_UP:]) for name, times in seconds.items()}
    return {way: counted[way] / counted["gradient"] for way in WAYS}


def measure(quick: bool) -> Ratios:
    """Ratios of every network."""
    examples, rounds = (64, 3) if quick else (EXAMPLES, ROUNDS)
    chosen = list(NETWORKS.items())[1:2] if quick else list(NETWORKS.items())
    return {label: ratios(workers(*network, examples=examples), rounds) for label, network in chosen}


def judge(found: Ratios) -> tuple[str, bool]:
    """Held if the median by double backward lies between two and four gradients for every network."""

    def spoken(values: np.ndarray) -> str:
        low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
        return f"{middle:.2f} ({low:.2f} to {high:.2f})"

    words = "; ".join(
        f"{label}: " + ", ".join(f"{way} {spoken(values)}" for way, values in by_way.items())
        for label, by_way in found.items()
    )
    medians = [float(np.median(by_way["double backward"])) for by_way in found.values()]
    rounds = len(next(iter(found.values()))["double backward"])
    holds = all(LEAST <= median <= MOST for median in medians)
    return f"gradients per product in processor time, median and quartiles of {rounds} rounds: {words}", holds


def draw(found: Ratios) -> Figure:
    """Boxes of the ratios, the claimed range shaded."""
    figure = plots.new_figure(plots.SINGLE, 2.6)
    ax = figure.add_subplot()
    ax.axhspan(LEAST, MOST, color=GREY, alpha=0.12, linewidth=0, label="claimed")
    for k, (way, color) in enumerate(WAYS.items()):
        boxes = ax.boxplot(
            [by_way[way] for by_way in found.values()],
            positions=np.arange(len(found)) + 0.3 * k - 0.15,
            widths=0.22, showfliers=False, patch_artist=True, manage_ticks=False,
            boxprops={"facecolor": color, "alpha": 0.35, "edgecolor": color}, medianprops={"color": color},
            whiskerprops={"color": color}, capprops={"color": color},
        )  # fmt: skip
        boxes["boxes"][0].set_label(way)
    ax.set_xticks(range(len(found)), list(found))
    ax.set_xlim(-0.5, len(found) - 0.5)
    ax.set_ylim(bottom=0)
    ax.set_ylabel("time of a product ÷ a gradient's")
    plots.legend_outside(figure, columns=2)
    return figure


FACT = Fact(
    name="hvp_cost",
    claim="A Hessian-vector product by double backward takes the time of two to four gradients, however many "
    "parameters there are.",
    source="Pearlmutter (1994), Neural Computation 6(1); Griewank & Walther (2008), Evaluating Derivatives, chapter 3: "
    "7 to 10 evaluations against 3 to 4, in operations",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
