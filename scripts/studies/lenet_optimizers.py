#!/usr/bin/env python
"""Which optimizer generalises best on LeNet-5, where is the loss flat, and would second-order steps pay at the end?

python scripts/studies/lenet_optimizers.py            # six optimizers × five seeds: 35 minutes on two cores
python scripts/studies/lenet_optimizers.py --quick
"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

NAMES = ("sgd", "momentum", "nesterov", "adam", "rmsprop", "adagrad")
STUDY = Study(
    name="lenet-optimizers",
    title="Shapes of minima by optimizer: LeNet-5",
    question=(
        "Shapes of the loss where optimizers come to on LeNet-5: accuracy, per class too, gradient norm, flatness "
        "along the top eigenvector, and the spectral gap over the last iterations."
    ),
    problem="lenet-digits",
    arms=tuple(Arm(name, {"optimizer": name}) for name in NAMES),
    seeds=(0, 1, 2, 3, 4),
    settings={"epochs": 30, "save_last": 3},
    tuning=Tuning(seeds=(1000, 1001, 1002)),
    plan={"plan": "quick", "last": 3, "eigs": 4, "points": 31, "trace_probes": 16, "density_probes": 4, "steps": 40},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
