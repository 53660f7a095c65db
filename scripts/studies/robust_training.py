#!/usr/bin/env python
"""Training on inputs moved against each batch, by more and more: how curved is the plain loss, at equal plain loss?

Madry et al. (2018), ICLR: the outer minimum over θ of an inner maximum over the inputs. The analysis is of the plain
loss, of all arms alike.
"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

RADII = (0.05, 0.1, 0.2)
#: Of the attack on whose survivors all arms are compared, in standard deviations of the pixels.
ATTACK = 0.2
STUDY = Study(
    name="robust-training",
    title="Min-max robust training",
    question=(
        "Curvature at equal plain loss of SGD, of SGD on inputs that ten steps of ascent move by up to r in every "
        "pixel, and of one step of the largest r; beside it accuracy, plain and under an attack."
    ),
    problem="mlp-digits",
    problem_config={"hidden": [50], "attack": ATTACK},
    arms=(
        Arm("sgd"),
        *(Arm(f"r-{r:g}", {"adversary": "linf", "adversary_options": {"radius": r, "steps": 10}}) for r in RADII),
        Arm("one-step", {"adversary": "linf", "adversary_options": {"radius": RADII[-1], "steps": 1}}),
    ),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "epochs": 60, "batch_size": 64, "save_every": 100},
    tuning=Tuning(grid=(1.0, 3.0, 10.0, 30.0, 100.0), seeds=(1000, 1001), settings={"epochs": 30}),
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
