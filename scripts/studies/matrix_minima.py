#!/usr/bin/env python
"""Which of the minima of a product of two matrices: all are global, and they are as sharp as the factors are unlike."""

import sys

from command_line import main

from landscape.study import Arm, Study

STARTS = {"alike": 1.0, "unlike": 4.0}
#: The flattest minimum has λ_max = 0.161, so gradient descent can stay at it for η up to 12.4.
RATES = (1.0, 10.0, 12.0)
STUDY = Study(
    name="matrix-minima",
    title="The minima of a product of matrices",
    question=(
        "Which of its minima, all global, gradient descent finds for UVᵀ = M: by the step size and by how unlike U and "
        "V are at the start, against the flattest there is in closed form and the stability limit 2/η."
    ),
    problem="matrix-factorization",
    arms=tuple(
        Arm(f"{start}-{rate:g}", {"problem_config": {"imbalance": imbalance}, "lr": rate})
        for start, imbalance in STARTS.items()
        for rate in RATES
    ),
    seeds=tuple(range(10)),
    problem_config={"rows": 10, "columns": 10, "rank": 2, "observed": 1.0},
    settings={"optimizer": "gd", "epochs": 2000, "save_every": 100},
    within={start: [f"{start}-{rate:g}" for rate in RATES] for start in STARTS},
    same_loss=("imbalance",),
    histories=True,
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
