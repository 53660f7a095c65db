#!/usr/bin/env python
"""Small batches end in flatter minima than large ones, at the same training loss.

SGD on a ReLU MLP over the digits, one learning rate for all batch sizes, stopped where the loss over all training data
first is 0.01; five seeds, each of which gives all batch sizes the same initial weights.
"""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from shared.fact import Fact, main
from shared.minima import Minima, compared, draw_minima, losses, means, minima

import landscape as ls

BATCHES, LR, LOSS = (8, 32, 128, 1257), 0.1, 0.01
SEEDS, EPOCHS = (0, 1, 2, 3, 4), 3000
CONFIG = {"hidden": [100, 100], "activation": "relu"}
LOOKS = 10  # in an epoch, where it has as many steps


def measure(quick: bool) -> Minima:
    """The minima of each batch size."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    ways = {
        f"{batch}": {
            "optimizer": "sgd", "lr": LR, "batch_size": batch, "epochs": EPOCHS,
            "look_every": max(1, 1257 // (LOOKS * batch)),
        }
        for batch in BATCHES
    }  # fmt: skip
    return minima(problem, ways, seeds=SEEDS[:2] if quick else SEEDS, until=0.5 if quick else LOSS)


def judge(found: Minima) -> tuple[str, bool]:
    """Held if the smallest batch ends flatter than the largest, by an interval that leaves 1 out."""
    small, large = f"{BATCHES[0]}", f"{BATCHES[-1]}"
    smaller = compared(found, small, large)
    middle = ", ".join(f"{value:.3g} at batch {batch}" for batch, value in means(found).items())
    low, high = losses(found)
    words = (
        f"λ_max with batches of {small} is {smaller} that with all {large} examples; means {middle}; training losses "
        f"{low:.4f} … {high:.4f}"
    )
    return words, smaller.high < 1


def draw(found: Minima) -> Figure:
    """Sharpness against batch size."""
    return draw_minima(found, xlabel="batch size of SGD")


FACT = Fact(
    name="small_batch_flatter",
    claim="At equal training loss, SGD with a small batch ends where λ_max is smaller than with a large batch.",
    source="Keskar, Mudigere, Nocedal, Smelyanskiy & Tang (2017), ICLR, section 2.2",
    measure=measure,
    judge=judge,
    draw=draw,
)

if __name__ == "__main__":
    sys.exit(main(FACT))
