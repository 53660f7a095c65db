#!/usr/bin/env python
"""Sharpness-aware minimisation ends in flatter minima than SGD, at the same training loss.

A ReLU MLP on the digits with momentum 0.9 in batches of 64, stopped where the loss over all training data first is
0.01; SAM at two radii ρ, by λ_max and by the worst loss in a ball that scales with the weights. Five seeds, each of
which gives all the same initial weights and order of the data.
"""

from __future__ import annotations

import sys
from typing import Any

from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.minima import Minima, compared, draw_minima, losses, minima

import landscape as ls

RADII, LR, BATCH, LOSS = (0.05, 0.1), 0.02, 64, 0.01
SEEDS, EPOCHS, LOOK_EVERY = (0, 1, 2, 3, 4), 100, 5
CONFIG = {"hidden": [100, 100], "activation": "relu"}
MEASURES = ("lambda_max", "adaptive_worst")


def measure(quick: bool) -> Minima:
    """The minima of SGD and of SAM at each radius."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    shared: dict[str, Any] = {"lr": LR, "batch_size": BATCH, "epochs": EPOCHS, "look_every": LOOK_EVERY}
    ways = {"SGD": {"optimizer": "momentum", **shared}}
    ways |= {f"SAM, ρ = {rho:g}": {"optimizer": "sam", "options": {"rho": rho}, **shared} for rho in RADII}
    seeds, until = (SEEDS[:2], 1.0) if quick else (SEEDS, LOSS)
    return minima(problem, ways, seeds=seeds, until=until, measures=MEASURES)


def judge(found: Minima) -> tuple[str, bool]:
    """Held if at each radius both measures are below those of SGD, by intervals that leave 1 out."""
    ratios = {
        (measure, label): compared(found, label, "SGD", measure)
        for measure in MEASURES
        for label in found
        if label != "SGD"
    }
    low, high = losses(found)
    words = "; ".join(f"{measure} of {label} is {ratio} that of SGD" for (measure, label), ratio in ratios.items())
    return f"{words}; training losses {low:.4f} … {high:.4f}", all(ratio.high < 1 for ratio in ratios.values())


def draw(found: Minima) -> Figure:
    """Both measures."""
    return draw_minima(found, xlabel="optimizer")


FACT = Fact(
    name="sam_flatter",
    claim="At equal training loss, SAM ends in flatter minima than SGD, by λ_max and by adaptive sharpness.",
    source="Foret, Kleiner, Mobahi & Neyshabur (2021), ICLR, section 4.2; Kwon et al. (2021), ICML, for adaptive",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
