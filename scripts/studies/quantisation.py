#!/usr/bin/env python
"""How coarse may gradients be?"""

import sys

from command_line import main

from landscape.study import Arm, Study

STUDY = Study(
    name="quantisation",
    title="Quantised gradients",
    question="SGD with gradients of 2, 3, 4 and 8 bits against exact ones.",
    problem="mlp-digits",
    arms=(
        *(Arm(f"{bits}-bits", {"optimizer": "quantized-sgd", "options": {"bits": bits}}) for bits in (2, 3, 4, 8)),
        Arm("exact", {"optimizer": "sgd"}),
    ),
    seeds=tuple(range(10)),
    settings={"lr": 0.1, "epochs": 40, "batch_size": 64},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
