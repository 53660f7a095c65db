#!/usr/bin/env python
"""The Polyak family against the size of the batch, on a line through noisy points."""

import sys

from command_line import main

from landscape.study import Arm, Study

STEPS, EXAMPLES = 600, 200

STUDY = Study(
    name="polyak-batch",
    title="Polyak steps and the size of the batch",
    question="Polyak steps with and without a bound against SGD after 600 steps, by the size of the batch.",
    problem="noisy-linear",
    problem_config={"sigma": 1, "num_examples": EXAMPLES},
    arms=tuple(
        Arm(f"{name}-b{batch}", {"optimizer": name, "batch_size": batch, "epochs": STEPS * batch // EXAMPLES})
        for batch in (1, 10, 200)
        for name in ("sgd", "polyak-sgd", "polyak-sgd-max", "polyak-adam")
    ),
    seeds=tuple(range(10)),
    settings={"save_every": 10},
    primary="train_loss",
    within="batch_size",
    paths=True,
    histories=True,
    matched=False,
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
