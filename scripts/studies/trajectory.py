#!/usr/bin/env python
"""Along the trajectory: is each step as smooth and convex as theory has it? Minutes on two cores.

python scripts/studies/trajectory.py
python scripts/studies/trajectory.py --quick
"""

import sys
from dataclasses import replace

from command_line import ROOT, exit_status, parser

from landscape.study import Arm, Study, Trajectory, follow

STUDY = Study(
    name="trajectory",
    question="Local smoothness, gradient noise, the descent lemma and the tangent of every step, for four optimizers.",
    problem="mlp-digits",
    arms=(
        Arm("gd", {"optimizer": "gd", "epochs": 800}),  # one step an epoch: as many steps as the others
        *(Arm(name, {"optimizer": name}) for name in ("sgd", "momentum", "adam")),
    ),
    seeds=(0, 1, 2, 3, 4),
    settings={"epochs": 40},
)
DESIGN = Trajectory(STUDY, looks=40)


def main(argv: list[str] | None = None) -> int:
    """Follow the runs; the exit status is 0, 2 where the folder cannot be used."""
    args = parser(STUDY.name, STUDY.question).parse_args(argv)
    design = DESIGN
    if args.quick:
        arms = tuple(Arm(arm.label, {"optimizer": arm.label}) for arm in STUDY.arms)
        few = {"hidden": [8], "num_train": 100}
        small = replace(STUDY, arms=arms, seeds=(0,), settings={"epochs": 1}, problem_config=few)
        design = replace(DESIGN, study=small, looks=3)
    out = args.out or ROOT / "checkpoints" / "studies" / (STUDY.name + ("-quick" if args.quick else ""))
    how = {"workers": args.workers, "executor": args.executor}
    return exit_status(STUDY.name, out, lambda say: follow(design, out, say=say, **how))


if __name__ == "__main__":
    sys.exit(main())
