#!/usr/bin/env python
"""Federated averaging over clients whose data are alike, or not; and gradients that arrive late."""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="heterogeneity",
    title="Clients with unlike data, and late gradients",
    question="Local SGD with equal and skewed clients, and delayed gradients, against SGD on all the data.",
    problem="mlp-digits",
    arms=(
        Arm("sgd", {"optimizer": "sgd"}),
        *(Arm(f"local-{skew:g}", {"optimizer": "local-sgd", "options": {"skew": skew}}) for skew in (0.0, 0.5, 1.0)),
        Arm("delayed", {"optimizer": "delayed-sgd", "options": {"delay": 4}}),
    ),
    seeds=tuple(range(10)),
    settings={"lr": 0.1, "epochs": 40, "batch_size": 32},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
