#!/usr/bin/env python
"""Two minima with a barrier between them are joined by a curve with one bend along which the loss hardly rises.

Networks on the digits, each trained with SGD from two initialisations until the training loss is 0.01: a Bézier curve
and a polygonal chain of two pieces between the two, beside the straight line.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.palette import BLUE, GREY, RED
from shared.replicates import with_range
from shared.training import trained

import landscape as ls
from landscape import plots
from landscape.results import Connection

SEEDS, EPOCHS = (0, 1), 300
LOSS, STEPS = 0.01, 500  # over the training data, where each run stops; of the training of a bend
SMALL = 0.1  # of the straight line's barrier: what a curve may keep of it
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {"LeNet-5": ("lenet-digits", {}), "MLP": ("mlp-digits", {})}
CURVES = {"Bézier curve": "bezier", "polygonal chain": "polygon"}
#: network → curve → seed
Found = dict[str, dict[str, dict[int, Connection]]]


def joined(name: str, config: dict[str, Any], *, seed: int, quick: bool) -> dict[str, Connection]:
    """Both curves between the same two minima."""
    problem = ls.get_problem(name, config)
    until = 2.0 if quick else LOSS
    ends = [
        problem.objective(trained(problem, optimizer="sgd", until=until, epochs=EPOCHS, seed=start), check=False)
        for start in (1000 + seed, 2000 + seed)
    ]
    steps, points = (20, 5) if quick else (STEPS, 31)
    return {label: ls.connect(*ends, curve=kind, steps=steps, points=points) for label, kind in CURVES.items()}


def measure(quick: bool) -> Found:
    """For each network and each pair of seeds."""
    less = {"test_fraction": 0.9} if quick else {}
    found: Found = {}
    for network, (name, config) in NETWORKS.items():
        each = {seed: joined(name, config | less, seed=seed, quick=quick) for seed in SEEDS[: 1 if quick else None]}
        found[network] = {label: {seed: one[label] for seed, one in each.items()} for label in CURVES}
    return found


def judge(found: Found) -> tuple[str, bool]:
    """Held if no curve keeps a tenth of its line's barrier, not even by the estimated bound between the points."""
    words, shares = [], []
    for network, by_curve in found.items():
        lines = next(iter(by_curve.values())).values()
        parts = [f"straight line {_barriers(lines, lambda one: one.line_barrier)}"]
        for label, curves in by_curve.items():
            shares += [one.barrier_bound / one.line_barrier for one in curves.values()]
            parts.append(
                f"{label} {_barriers(curves.values(), lambda one: one.barrier)} (bounds between the points "
                f"{_barriers(curves.values(), lambda one: one.barrier_bound)})"
            )
        words.append(f"{network}: barrier on the {', '.join(parts)}")
    ends = max(float(max(one.ends)) for by_curve in found.values() for c in by_curve.values() for one in c.values())
    count = len(next(iter(next(iter(found.values())).values())))
    return f"{'; '.join(words)}, over {count} pairs each; loss at the ends at most {ends:.2g}", max(shares) < SMALL


def _barriers(curves: Any, barrier: Callable[[Connection], float]) -> str:
    return with_range([barrier(one) for one in curves], 2)


def draw(found: Found) -> Figure:
    """A panel for each network: line and curves of every pair."""
    figure = plots.new_figure(plots.DOUBLE, 2.6)
    axes = figure.subplots(1, len(found), squeeze=False)[0]
    for ax, (network, by_curve) in zip(axes, found.items(), strict=True):
        for one in next(iter(by_curve.values())).values():
            ax.plot(one.t, one.line, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), label="straight line")
        for (label, curves), color in zip(by_curve.items(), (BLUE, RED), strict=True):
            for one in curves.values():
                ax.plot(one.t, one.loss, color=color, linewidth=1.0, label=label)
        ax.set_yscale("log")
        ax.set_title(network)
        ax.set_xlabel("t from one minimum (0) to the other (1)")
    axes[0].set_ylabel("training loss")
    plots.legend_outside(figure)
    return figure


FACT = Fact(
    name="low_loss_curves",
    claim=(
        "Two minima with a barrier on the straight line between them are joined by a simple curve, a Bézier curve or a "
        "chain of two pieces, along which the loss hardly rises."
    ),
    source=(
        "Garipov, Izmailov, Podoprikhin, Vetrov & Wilson (2018), NeurIPS, sections 3 and 4; Draxler et al. (2018), ICML"
    ),
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
