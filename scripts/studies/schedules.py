#!/usr/bin/env python
"""Constant, falling, cycling and warmed-up learning rates, and growing batches, at the same budget."""

import sys

from command_line import main

from landscape.study import Arm, Study

RATES = ("constant", "step", "exponential", "polynomial", "cosine", "cyclic", "warmup")
STUDY = Study(
    name="schedules",
    title="Schedules of learning rate and batch size",
    question="Where momentum SGD comes to under schedules of learning rate and batch size.",
    problem="mlp-digits",
    arms=(
        *(Arm(name, {"schedule": name}) for name in RATES),
        Arm("grow-shrink-batch", {"batch_schedule": "grow-shrink"}),
    ),
    seeds=tuple(range(12)),
    settings={"optimizer": "momentum", "lr": 0.05, "epochs": 40, "batch_size": 32},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
