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

SEEN = (
    "Robust training ends flatter: at equal plain loss λ_max falls with the radius, from 0.162 without to 0.102 and "
    "0.074 at r of 0.05 and 0.1, and it gains 13 to 23 points under the attack on images not seen. What surprised: "
    "it is the more accurate on plain images as well (98.7 against 97.9 %), and one step at the largest radius is "
    "the flattest of all and withstands ten steps as well as training on ten does, with no sign of catastrophic "
    "overfitting on images of 64 pixels. What did not hold: that the largest radius trains; at r of 0.2 one of ten "
    "runs comes down to the loss of the others. By the adaptive sharpness nothing is flatter than plain SGD. Wall "
    "time 660 s on two busy cores."
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
