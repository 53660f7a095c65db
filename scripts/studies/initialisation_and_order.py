#!/usr/bin/env python
"""What of a minimum is decided by its initial weights, and what by the order of the data?"""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="initialisation-and-order",
    title="What the initial weights decide, and what the order of the data",
    question=(
        "How far ends of training lie apart over seeds, where the seed moves the initial weights, the order of the "
        "data, or both."
    ),
    problem="mlp-digits",
    arms=(Arm("both"), Arm("weights", {"order_seed": 0}), Arm("order", {"init_seed": 0})),
    seeds=tuple(range(1, 11)),
    settings={"optimizer": "sgd", "lr": 0.05, "epochs": 40, "batch_size": 32},
    spread=True,
    plan={"plan": "quick", "last": 1, "barriers": 10},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
