#!/usr/bin/env python
"""Two tasks one after another: what is forgotten of the first, by their order and by the step size, and why so much?

The tasks are the digits upright and turned by 60 degrees. Mirzadeh et al. (2020), NeurIPS, hold flat minima and short
ways for what prevents forgetting: half of λ_max times the squared way bounds the rise, as far as the quadratic model is
right.
"""

import sys

from command_line import main

from landscape.study import Arm, Forgetting, Study

RATES = (0.03, 0.1, 0.3, 1.0)
ORDERS = {"upright-first": 1, "turned-first": 2}
#: As many steps as the two tasks have one after another.
TOGETHER = Arm("together", {"lr": 0.1, "epochs": 40, "order": "shuffled"})
STUDY = Study(
    name="sequential-tasks",
    title="Sequential tasks: what is forgotten",
    question=(
        "How much of the first of two tasks is forgotten while the second is learned, by their order and by the step "
        "size, and whether that goes with the curvature of the first where it ended, with the overlap of the top "
        "eigenspaces of both, or with the way since."
    ),
    problem="rotated-digits",
    arms=(
        *(
            Arm(f"{label}-{rate:g}", {"lr": rate, "order": "blocks", "order_options": {"blocks": 2, "first": first}})
            for label, first in ORDERS.items()
            for rate in RATES
        ),
        TOGETHER,
    ),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "epochs": 80, "batch_size": 64, "save_every": 400},
    primary="test_accuracy",
    only=("test_accuracy",),
    matched=False,
    within={
        "orders at a small step": ["upright-first-0.1", "turned-first-0.1", TOGETHER.label],
        **{f"steps, {label.replace('-', ' ')}": [f"{label}-{rate:g}" for rate in RATES] for label in ORDERS},
    },
    forgetting=Forgetting(),
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
