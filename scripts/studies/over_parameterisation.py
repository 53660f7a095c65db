#!/usr/bin/env python
"""How do sharpness and generalisation change with width and depth?"""

import sys

from command_line import main

from landscape.study import Arm, Study

SHAPES = {"w8": (8,), "w32": (32,), "w128": (128,), "w32x2": (32, 32), "w32x4": (32, 32, 32, 32)}
STUDY = Study(
    name="over-parameterisation",
    title="Width, depth and over-parameterisation",
    question="Curvature and test loss against the width and depth of an MLP.",
    problem="mlp-digits",
    arms=tuple(Arm(label, {"problem_config": {"hidden": list(hidden)}}) for label, hidden in SHAPES.items()),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "lr": 0.1, "epochs": 60},
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
