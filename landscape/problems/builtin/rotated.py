"""The digits upright and turned: tasks with one set of classes, to be learned together or one after another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_finite
from landscape.problems.base import Examples, Problem
from landscape.problems.builtin.digits import LOSSES, NUM_CLASSES, digits_split, first_examples
from landscape.problems.builtin.networks import mlp
from landscape.problems.recipe import Recipe


def rotated_digits(
    *,
    tasks: int = 2,
    angle: float = 60.0,
    hidden: Sequence[int] = (100,),
    activation: str = "tanh",
    loss: str = "cross_entropy",
    num_train: int | None = None,
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    """A perceptron on the digits turned by 0, ``angle``, 2·``angle`` … degrees: as many copies as there are tasks.

    The copies stand one behind another, so that a training with ``--order blocks --order-opt blocks=2`` learns the
    tasks one after another, and the loss is that over all of them. It measures the test accuracy on each task.

    Parameters
    ----------
    num_train : int, optional
        Keeps the first that many training examples of each task.
    """
    check_choice("loss", loss, LOSSES)
    check_count("tasks", tasks)
    check_finite("angle", angle)
    train, test = digits_split(8, test_fraction, split_seed)
    train = first_examples(train, num_train, "num_train")
    angles = [angle * task for task in range(tasks)]
    data = {"train": _copies(train, angles), "test": _copies(test, angles)}
    return Problem(
        build=mlp(64, hidden, activation),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=data["train"],
        test=data["test"],
        num_classes=NUM_CLASSES,
        measures=partial(_accuracies, data, tasks),
        recipe=Recipe("sgd", batch_size=64, epochs=60),
    )


def _copies(examples: Examples, angles: Sequence[float]) -> Examples:
    images, labels = examples
    return torch.cat([turned(images, angle) for angle in angles]), labels.repeat(len(angles))


def turned(images: Tensor, degrees: float) -> Tensor:
    """Images (N, 1, s, s) turned against the clock about their middle, bilinear, with the background around them."""
    if degrees % 360 == 0:
        return images
    turn = math.radians(degrees)
    cos, sin = math.cos(turn), math.sin(turn)
    where = torch.tensor([[cos, -sin, 0.0], [sin, cos, 0.0]]).expand(len(images), 2, 3)
    places = functional.affine_grid(where, list(images.shape), align_corners=False)
    background = images.min()  # what grid_sample puts around is 0
    return functional.grid_sample(images - background, places, align_corners=False) + background


def _accuracies(data: Mapping[str, Examples], tasks: int, model: nn.Module, split: str) -> Mapping[str, float]:
    if split == "train":  # the loss says that
        return {}
    images, labels = data[split]
    like = next(model.parameters())
    with torch.no_grad():
        right = model(images.to(like)).argmax(1) == labels.to(like.device)
    parts = right.double().tensor_split(tasks)
    return {f"accuracy on task {number}": float(part.mean()) for number, part in enumerate(parts, start=1)}
