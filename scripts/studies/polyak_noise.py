#!/usr/bin/env python
"""The Polyak family where the data can be fitted exactly, and where they cannot."""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="polyak-noise",
    title="Polyak steps under noise",
    question="Polyak steps with and without a bound against SGD, on a line with noise σ = 0, 1 and 5.",
    problem="noisy-linear",
    arms=tuple(
        Arm(f"{name}-s{sigma}", {"optimizer": name, "problem_config": {"sigma": sigma}})
        for sigma in (0, 1, 5)
        for name in ("sgd", "polyak-sgd", "polyak-sgd-max", "polyak-adam")
    ),
    seeds=tuple(range(10)),
    settings={"epochs": 30, "batch_size": 10, "save_every": 10},
    primary="train_loss",
    within="problem_config",
    paths=True,
    histories=True,
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
