#!/usr/bin/env python
"""Some coordinates at a time, or means of corners of a ball: what they cost against whole gradients, where they end.

Coordinate descent moves 32 of 1,210 parameters in a step, for the price of a whole gradient. Frank-Wolfe minimises over
a ball of tuned radius, and its steps 2/(t + 2) forget where it began.
"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

RULES = ("random", "cyclic", "greedy")
#: Around the norms of all parameters where gradient descent ends.
RADII = {"l2": (10.0, 20.0, 40.0, 80.0), "l1": (100.0, 400.0, 1600.0, 6400.0), "linf": (0.5, 1.0, 2.0, 4.0)}
STUDY = Study(
    name="coordinates-and-balls",
    title="Coordinate descent and Frank–Wolfe on a small network",
    question=(
        "What descent along some coordinates, chosen by three rules, and Frank–Wolfe over balls of three norms pay for "
        "a training loss of the digits against gradient descent, and how curved the loss is where they come to."
    ),
    problem="mlp-digits",
    problem_config={"hidden": [16]},
    arms=(
        Arm("gd", {"optimizer": "gd"}),
        *(
            Arm(f"coordinates-{rule}", {"optimizer": "coordinate-descent", "options": {"rule": rule, "block": 32}})
            for rule in RULES
        ),
        *(
            Arm(
                f"frank-wolfe-{norm}",
                {"optimizer": "frank-wolfe", "options": {"norm": norm, "radius": radii[1]}},
                over={"options": tuple({"radius": radius} for radius in radii)},
            )
            for norm, radii in RADII.items()
        ),
    ),
    seeds=tuple(range(10)),
    settings={"epochs": 500, "batch_size": 1257, "save_every": 100},
    tuning=Tuning(grid=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0), seeds=(1000, 1001)),
    costs=(1.0, 0.5, 0.1),
    only=("lambda_max", "train_loss", "test_accuracy", "sharpness_adaptive_worst"),
    plan={"plan": "quick", "last": 1},
)

SEEN = (
    "Frank–Wolfe over the ball of the largest entry is the cheapest at first, half the cost of gradient descent to a "
    "loss of 1 (24 losses against 51), and far dearer later (725 against 190 to a loss of 0.1); over the l1 ball, "
    "which moves one weight at a time, it never comes there. What surprised: gradient descent is the flattest at "
    "equal loss, coordinates chosen by their gradients are six times as sharp. What did not hold: that greedy "
    "coordinates beat random ones, as they do on a quadratic step by step. Where gradients are large, curvature is, "
    "so their best step is a thirtieth of that of random blocks; that one lies at the edge of the grid, as does the "
    "step of the l1 ball. Wall time 644 s on two busy cores."
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
