#!/usr/bin/env python
"""Losses alone, gradients, or curvature: what each order of information buys."""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

NAMES = ("spsa", "sgd", "adam", "lbfgs", "adahessian", "shampoo", "soap", "muon")
STUDY = Study(
    name="orders-of-information",
    question="Zero-order, first-order and second-order optimizers on one MLP, each with its learning rate tuned.",
    problem="mlp-digits",
    problem_config={"hidden": [32]},
    arms=tuple(Arm(name, {"optimizer": name}) for name in NAMES),
    seeds=tuple(range(12)),
    settings={"epochs": 30, "save_every": 5},
    primary="train_loss",
    tuning=Tuning(grid=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), seeds=(1000,)),
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
