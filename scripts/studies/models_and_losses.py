#!/usr/bin/env python
"""Softmax regression against a perceptron, cross-entropy against squared error: which predicts the digits better?"""

import sys

from command_line import main

from landscape.study import Arm, Study, Tuning

MODELS = {"softmax": [], "mlp": [100, 100]}
LOSSES = {"entropy": "cross_entropy", "squares": "mse"}
STUDY = Study(
    name="models-and-losses",
    title="First steps: which model, which loss",
    question=(
        "What hidden layers and what the loss decide on the digits: accuracies of softmax regression and of a "
        "perceptron, by cross-entropy and by squared error. Losses of two kinds are not one scale, so they are not "
        "compared."
    ),
    problem="mlp-digits",
    arms=tuple(
        Arm(f"{model}-{loss}", {"problem_config": {"hidden": hidden, "loss": name}})
        for model, hidden in MODELS.items()
        for loss, name in LOSSES.items()
    ),
    seeds=tuple(range(10)),
    settings={"optimizer": "momentum", "epochs": 40},
    tuning=Tuning(grid=(0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0), seeds=(1000, 1001)),
    primary="test_accuracy",
    only=("test_accuracy", "train_accuracy"),
    plan={"plan": "quick", "last": 1},
)

SEEN = (
    "Hidden layers decide more than the loss. On a perceptron squared error and cross-entropy cannot be told apart "
    "(98.4 and 98.3 %); on softmax regression squared error is 2.3 points worse on images not seen and 5 on those it "
    "was trained on, for no linear map reaches the targets 0 and 1. What surprised: between them lie learning rates "
    "of 0.006 and 2, and the larger still improved the training loss at a hundred times the usual one, so the grid "
    "had to be widened twice. Wall time 174 s on two busy cores."
)

if __name__ == "__main__":
    sys.exit(main(STUDY))
