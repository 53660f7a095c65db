#!/usr/bin/env python
"""A head on held features, all parameters from a random head, or from a fitted one: accuracy, shifted too, and shape.

Kumar et al. (2022), ICLR. Curvature is over all parameters in every arm, those that a training holds among them.
"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

LABELS = {"scratch": "scratch", "probing": "head", "fine-tuning": "all", "probing-first": "head-first"}
STUDY = Study(
    name="fine-tuning",
    title="Fine-tuning against linear probing",
    question=(
        "What features learned on noisy images of other digits are worth for clean ones with 60 examples: held still, "
        "moved along, or moved after the head was fitted. Accuracy on clean and on noisy images, and how curved the "
        "loss is."
    ),
    problem="transfer-digits",
    problem_config={"num_train": 60},
    arms=tuple(Arm(label, {"problem_config": {"mode": mode}}) for label, mode in LABELS.items()),
    seeds=tuple(range(10)),
    settings={"optimizer": "sgd", "epochs": 200, "batch_size": 20, "save_every": 100},
    same_loss=("mode",),
    tuning=Tuning(grid=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0), seeds=(1000, 1001)),
    primary="test_accuracy",
    only=("test_accuracy", "test_loss", "train_loss", "lambda_max"),
    plan={"plan": "quick", "last": 1},
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
