#!/usr/bin/env python
"""Does sharpness-aware minimisation end flatter than SGD, by measures that rescaling of layers cannot move?"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

STUDY = Study(
    name="sam-against-sgd",
    title="SAM against SGD",
    question="Flatness with SAM and ASAM against momentum SGD with the same number of steps.",
    problem="mlp-digits",
    arms=(
        Arm("sgd", {"optimizer": "momentum"}),
        Arm("sam", {"optimizer": "sam", "options": {"rho": 0.05}}),
        Arm("sam-wide", {"optimizer": "sam", "options": {"rho": 0.2}}),
        Arm("asam", {"optimizer": "asam", "options": {"rho": 0.5}}),
    ),
    seeds=tuple(range(10)),
    settings={"epochs": 40, "batch_size": 64},
    tuning=Tuning(grid=(1.0, 3.0, 10.0, 30.0, 100.0), seeds=(1000, 1001)),
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
