#!/usr/bin/env python
"""Large batches with the learning rate kept, scaled along, or scaled and warmed up."""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="large-batch",
    question="What a batch of 512 does to the curvature, and whether a scaled learning rate undoes it.",
    problem="mlp-digits",
    arms=(
        Arm("b32", {"batch_size": 32, "lr": 0.05}),
        Arm("b512", {"batch_size": 512, "lr": 0.05}),
        Arm("b512-scaled", {"batch_size": 512, "lr": 0.8}),
        Arm("b512-warmup", {"batch_size": 512, "lr": 0.8, "schedule": "warmup"}),
    ),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "epochs": 60},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
