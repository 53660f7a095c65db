#!/usr/bin/env python
"""The Hessian's blocks differ far more within a transformer than within a convolutional network.

The spectrum of each weight tensor's own block at initialisation, by Lanczos quadrature, and the Jensen-Shannon distance
(0 for equal spectra, 1 for spectra that share nothing) between the blocks of a network. Three seeds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.replicates import with_range
from shared.spectra_of_blocks import Blocks, block_spectra

import landscape as ls
from landscape import plots

SEEDS, PROBES, STEPS = (0, 1, 2), 2, 16
FAR_MORE = 3.0
#: Other ways to read the same spectra; they decide nothing.
READINGS: dict[str, dict[str, Any]] = {
    "0.3 % smoothing": {"bandwidth": 0.003},
    "3 % smoothing": {"bandwidth": 0.03},
    "shapes alone": {"scaled": True},
}
NETWORKS: dict[str, tuple[str, dict[str, Any], int]] = {  # problem, config, examples; the transformer first
    "transformer": ("char-transformer-small", {"characters": 5000}, 16),
    "LeNet-5": ("lenet-digits", {}, 100),
    "residual network": ("resnet-digits", {"norm": "group"}, 100),
}
SHORT = {"weight": "", "tokens.": "tokens", "positions.": "positions", "blocks.": "b", "conv": "c"}


def measure(quick: bool) -> dict[str, list[Blocks]]:
    """The blocks of each network from each seed."""
    found: dict[str, list[Blocks]] = {}
    for label, (name, config, examples) in NETWORKS.items():
        problem = ls.get_problem(name, config)
        x, y = (part[: 8 if quick else examples] for part in problem.train)
        problem = replace(problem, train=(x, y))
        found[label] = [
            block_spectra(
                problem.objective(problem.make_model(seed)),
                num_probes=PROBES,
                num_steps=2 if quick else STEPS,
                seed=seed,
            )
            for seed in (SEEDS[:1] if quick else SEEDS)
        ]
    return found


def factor(found: dict[str, list[Blocks]], **reading: Any) -> float:
    """The transformer's smallest mean distance ÷ the largest of all others."""
    transformer, *others = ([one.mean_distance(**reading) for one in group] for group in found.values())
    return min(transformer) / max(map(max, others))


def judge(found: dict[str, list[Blocks]]) -> tuple[str, bool]:
    """Held if the transformer's smallest mean distance is more than three times the largest of each other network."""
    words = "; ".join(
        f"{label}: mean distance {with_range([one.mean_distance() for one in group])} over {len(group)} seeds, "
        f"largest eigenvalues a factor {with_range([one.span for one in group], 2)} apart"
        for label, group in found.items()
    )
    others = ", ".join(f"{factor(found, **asked):.2g} × with {name}" for name, asked in READINGS.items())
    words += f"; the transformer's least is {factor(found):.2g} × the others' largest ({others})"
    return words, factor(found) > FAR_MORE


def draw(found: dict[str, list[Blocks]]) -> Figure:
    """The distances of all pairs in each network, of the first seed."""
    figure = plots.new_figure(plots.DOUBLE, 2.6)
    axes = figure.subplots(1, len(found))
    tables = [group[0].distances() for group in found.values()]
    highest = max(float(table.max()) for table in tables)
    for ax, table, (label, group) in zip(axes, tables, found.items(), strict=True):
        ax.imshow(table, vmin=0, vmax=highest, cmap="viridis")
        titles = [short(name) for name in group[0].spectra]
        ax.set_xticks(range(len(titles)), titles, rotation=90, fontsize=6)
        ax.set_yticks(range(len(titles)), titles, fontsize=6)
        ax.set_title(label)
    figure.colorbar(axes[0].images[0], ax=list(axes), label="Jensen-Shannon distance", shrink=0.7)
    return figure


def short(name: str) -> str:
    """``blocks.0.conv1.weight`` → ``b0.c1``."""
    for long, less in SHORT.items():
        name = name.replace(long, less)
    return name.strip(".")


FACT = Fact(
    name="block_heterogeneity",
    claim=(
        "At initialisation the spectra of the Hessian's blocks differ far more from each other in a transformer than "
        "in a convolutional network."
    ),
    source="Zhang, Chen, Ding, Li, Sun & Luo (2024), Why Transformers Need Adam, NeurIPS, section 2 and fig. 3",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
