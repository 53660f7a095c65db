#!/usr/bin/env python
"""Does a larger learning rate, or a smaller batch, lead where the loss is flatter?"""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="learning-rate-and-batch",
    title="Learning rate and batch size",
    question="Sharpness against learning rate and batch size, at one training loss and at the end, with SGD on an MLP.",
    problem="mlp-digits",
    arms=tuple(
        Arm(f"lr{lr:g}-b{batch}", {"optimizer": "sgd", "lr": lr, "batch_size": batch})
        for lr in (0.02, 0.1, 0.5)
        for batch in (16, 256)
    ),
    seeds=tuple(range(10)),
    settings={"epochs": 60},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
