#!/usr/bin/env python
"""The larger the learning rate, the flatter the minimum, at the same training loss.

SGD in batches of 32 on a ReLU MLP over the digits, stopped where the loss over all training data first is 0.01; five
seeds, each of which gives all learning rates the same initial weights and order of the data.
"""

from __future__ import annotations

import sys

from matplotlib.figure import Figure
from shared.fact import Change, Fact, main
from shared.minima import Minima, compared, draw_minima, losses, means, minima, values
from shared.trends import table_of, trend

import landscape as ls

RATES, BATCH, LOSS = (0.01, 0.03, 0.1, 0.3), 32, 0.01
SEEDS, EPOCHS = (0, 1, 2, 3, 4), 1000
LOOK_AFTER = 0.4  # of learning rate × steps
CONFIG = {"hidden": [100, 100], "activation": "relu"}


def measure(quick: bool) -> Minima:
    """The minima of each learning rate."""
    problem = ls.get_problem("mlp-digits", CONFIG)
    shared = {"optimizer": "sgd", "batch_size": BATCH, "epochs": EPOCHS}
    ways = {f"{lr:g}": {"lr": lr, "look_every": round(LOOK_AFTER / lr), **shared} for lr in RATES}
    return minima(problem, ways, seeds=SEEDS[:2] if quick else SEEDS, until=0.5 if quick else LOSS)


def judge(found: Minima) -> tuple[str, bool]:
    """Held if λ_max falls as a trend over the rates, and from first to last by an interval that leaves 1 out."""
    ends = compared(found, f"{RATES[-1]:g}", f"{RATES[0]:g}")
    falls = trend(table_of({lr: values(group) for lr, group in found.items()}), rising=False)
    said = ", ".join(f"{value:.3g} at {lr}" for lr, value in means(found).items())
    low, high = losses(found)
    words = (
        f"λ_max over the learning rates: {falls}; at {RATES[-1]:g} it is {ends} that at {RATES[0]:g}; means {said}; "
        f"training losses {low:.4f} … {high:.4f}"
    )
    return words, ends.high < 1 and falls.holds


def draw(found: Minima) -> Figure:
    """Sharpness against learning rate."""
    return draw_minima(found, xlabel="learning rate of SGD")


FACT = Fact(
    name="learning_rate_and_sharpness",
    claim="At equal training loss, a larger learning rate of SGD ends where λ_max is smaller.",
    source="Jastrzębski et al. (2018), ICANN, section 3, and (2020), ICLR; Lewkowycz et al. (2020), arXiv:2003.02218",
    measure=measure,
    judge=judge,
    draw=draw,
    changes=(
        Change(
            "criterion",
            "the mean had to fall from each rate to the next, pair by pair; now it is judged as one trend, by Page's "
            "test at 1 %.",
            held_before=True,
        ),
    ),
)

if __name__ == "__main__":
    sys.exit(main(FACT))
