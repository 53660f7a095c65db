#!/usr/bin/env python
"""Clipped gradients and noise on their sum, as privacy asks for them, against plain SGD: flatness at equal loss.

Abadi et al. (2016), CCS. The noise of DP-SGD is the same in all directions, where that of batches lies along the sharp
ones. No ε is stated: batches are a partition of the data, and the accounting is for others.
"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

STUDY = Study(
    name="private-noise",
    title="Differentially private noise",
    question=(
        "Curvature at equal loss of SGD, of SGD whose single gradients are clipped to length 1, and of the same with "
        "Gaussian noise of 0.3, 1 and 3 times the clip on their sum."
    ),
    problem="mlp-digits",
    arms=(
        Arm("sgd", {"optimizer": "sgd"}),
        Arm("clipped", {"optimizer": "private-sgd", "options": {"noise_multiplier": 0.0}}),
        *(
            Arm(f"noise-{s:g}", {"optimizer": "private-sgd", "options": {"noise_multiplier": s}})
            for s in (0.3, 1.0, 3.0)
        ),
    ),
    seeds=tuple(range(10)),
    problem_config={"hidden": [50]},
    settings={"lr": 0.3, "epochs": 40, "batch_size": 64, "save_every": 100},
    tuning=Tuning(grid=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0), seeds=(1000, 1001)),
    histories=True,
    watched="share_clipped",
    plan={"plan": "quick", "last": 1},
)

SEEN = (
    "What surprised: clipping alone is what flattens. At equal loss it has 0.73 of the λ_max of SGD, and it comes "
    "further down than all others, at a tenfold learning rate. What did not hold: that noise the same in all "
    "directions finds flatter places. With 0.3 and 1 times the clip λ_max at equal loss cannot be told from that of "
    "SGD, the adaptive sharpness with 1 is a fifth lower, and with 3 training does not come down to that loss. Noise "
    "decides how far training comes, and by that how sharp it ends. Wall time 527 s on two busy cores."
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
