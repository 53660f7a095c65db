#!/usr/bin/env python
"""Shuffled, fixed, sorted, or easy examples first: does the order of the data choose the minimum?"""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="data-order",
    question="Where SGD comes to under four orders of the same examples, and how curved the loss is there.",
    problem="mlp-digits",
    arms=tuple(Arm(order, {"order": order}) for order in ("shuffled", "fixed", "sorted", "curriculum")),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "lr": 0.05, "epochs": 40, "batch_size": 32},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
