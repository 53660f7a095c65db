#!/usr/bin/env python
"""Small batches end in flatter minima than large ones, at the same training loss.

SGD on a ReLU MLP over the digits, one learning rate for all batch sizes, stopped where the loss over all training data
first is 0.01; five seeds, each of which gives all batch sizes the same initial weights.
"""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.minima import Minima, compared, draw_minima, losses, means, minima, values
from shared.trends import table_of, trend

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
    """Held if λ_max rises as a trend over the batch sizes, and from last to first by an interval that leaves 1 out."""
    small, large = f"{BATCHES[0]}", f"{BATCHES[-1]}"
    smaller = compared(found, small, large)
    rises = trend(table_of({batch: values(group) for batch, group in found.items()}), rising=True)
    middle = ", ".join(f"{value:.3g} at batch {batch}" for batch, value in means(found).items())
    low, high = losses(found)
    words = (
        f"λ_max over the batch sizes: {rises}; with batches of {small} it is {smaller} that with all {large} examples; "
        f"means {middle}; training losses {low:.4f} … {high:.4f}"
    )
    return words, smaller.high < 1 and rises.holds


def draw(found: Minima) -> Figure:
    """Sharpness against batch size."""
    return draw_minima(found, xlabel="batch size of SGD")


FACT = Fact(
    name="small_batch_flatter",
    claim="At one learning rate and equal training loss, λ_max at the end of SGD is the smaller the smaller its batch.",
    source="Jastrzębski et al. (2018), Three factors influencing minima in SGD, arXiv:1711.04623, and Yao, Gholami, "
    "Lei, Keutzer & Mahoney (2018), NeurIPS, for λ_max against batch size; Keskar et al. (2017), ICLR, found it by "
    "another measure, the rise in a box, and at the ends of training",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "claim",
            "it cited Keskar et al. (2017), who measure neither λ_max nor at equal loss; it left out that the "
            "learning rate is one for all batch sizes, and that is what makes them differ where noise is learning "
            "rate ÷ batch.",
            held_before=True,
        ),
        Change(
            "criterion", "batches of 8 against all examples alone; now the trend over all four, too.", held_before=True
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
