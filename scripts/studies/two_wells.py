#!/usr/bin/env python
"""A narrow and a wide well: which of them does the noise of minibatches find?"""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="two-wells",
    question="The well that SGD ends in against its batch size, from starts all over the plane.",
    problem="two-well",
    arms=tuple(Arm(f"b{batch}", {"batch_size": batch}) for batch in (1, 4, 25)),
    seeds=tuple(range(20)),
    problem_config={"noise": 0.3},
    settings={"optimizer": "sgd", "lr": 0.08, "epochs": 60},
    paths=True,
    matched=False,
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
