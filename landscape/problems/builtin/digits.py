"""Problems on scikit-learn's 1,797 handwritten digits of 8 × 8 pixels: no download, seconds to train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_not_negative, check_seed, check_share
from landscape.errors import UsageError
from landscape.problems.adversary import accuracy_under
from landscape.problems.base import Examples, LossFunction, Problem, half_squared_error
from landscape.problems.builtin.networks import half_squared_weights, lenet5, mlp
from landscape.problems.builtin.residual import resnet
from landscape.problems.recipe import Recipe

NUM_CLASSES = 10
#: Of the attack under which accuracy is measured.
ATTACK_STEPS = 10
LOSSES: dict[str, LossFunction] = {"cross_entropy": functional.cross_entropy, "mse": half_squared_error}


def lenet_digits(
    *,
    activation: str = "relu",
    pooling: str = "average",
    loss: str = "cross_entropy",
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    """LeNet-5 on the digits, resized to 32 × 32 by bilinear interpolation and standardised."""
    check_choice("loss", loss, LOSSES)
    train, test = digits_split(32, test_fraction, split_seed)
    return Problem(
        build=lenet5(activation, pooling),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        recipe=Recipe("sgd", batch_size=64, epochs=30, learning_rates={"adam": 1e-3, "adamw": 1e-3}),
    )


def resnet_digits(
    *,
    blocks: int = 1,
    channels: int = 8,
    skip: bool = True,
    norm: str = "batch",
    loss: str = "cross_entropy",
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    """A residual network on the digits as they are, 8 × 8; ``skip=False`` takes its skip connections away.

    Parameters
    ----------
    blocks, channels : int
        Residual blocks in each of three stages, and channels of the first; 1 and 8 make 19,000 parameters.
    norm : {"batch", "group", "none"}
    """
    check_choice("loss", loss, LOSSES)
    train, test = digits_split(8, test_fraction, split_seed)
    return Problem(
        build=resnet(blocks, channels, norm, skip=skip),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        recipe=Recipe("momentum", batch_size=64, epochs=20, learning_rates={"momentum": 0.02, "sgd": 0.1}),
    )


def mlp_digits(
    *,
    hidden: Sequence[int] = (100, 100),
    activation: str = "tanh",
    loss: str = "cross_entropy",
    num_train: int | None = None,
    attack: float = 0.0,
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    """A multilayer perceptron on the 64 pixels. ``loss="mse"`` is ½ Σ over outputs, mean over examples.

    ``num_train`` keeps the first that many training examples, whose order the split has already mixed. ``attack`` > 0
    also measures how many examples are right after an attack on each pixel by at most that, in standard deviations of
    the pixels: the loss is not touched by it.
    """
    check_choice("loss", loss, LOSSES)
    check_not_negative("attack", attack)
    train, test = digits_split(8, test_fraction, split_seed)
    train = first_examples(train, num_train, "num_train")
    problem = Problem(
        build=mlp(64, hidden, activation),
        loss_fn=LOSSES[loss],
        loss_name=loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        recipe=Recipe("sgd", batch_size=64, epochs=60),
    )
    if not attack:
        return problem
    return replace(problem, measures=accuracy_under(problem, norm="linf", radius=attack, steps=ATTACK_STEPS))


def logistic_digits(
    *, l2: float = 0.0, loss: str = "cross_entropy", test_fraction: float = 0.3, split_seed: int = 0
) -> Problem:
    """Softmax regression on the 64 pixels; ``l2`` > 0 adds ½·l2·‖W‖², which makes the minimum finite."""
    train, test = digits_split(8, test_fraction, split_seed)
    return softmax_regression(train, test, l2=l2, loss=loss, recipe=Recipe("sgd", batch_size=64, epochs=60))


def softmax_regression(train: Examples, test: Examples, *, l2: float, loss: str, recipe: Recipe) -> Problem:
    """One linear layer on the pixels."""
    check_choice("loss", loss, LOSSES)
    check_not_negative("l2", l2)
    return Problem(
        build=mlp(train[0][0].numel(), (), "tanh"),
        loss_fn=LOSSES[loss],
        loss_name=f"{loss} + ½·{l2:g}·‖W‖²" if l2 else loss,
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        regularizer=(lambda model: l2 * half_squared_weights(model)) if l2 else None,
        recipe=recipe,
    )


def softmax_hessian(examples: Examples, probabilities: Tensor) -> Tensor:
    r"""The Hessian of mean cross-entropy over softmax regression, ``fc1.weight`` before ``fc1.bias``:

    .. math:: \mathrm{mean}\,(\mathrm{diag}(p) − pp^⊤) ⊗ \tilde x\tilde x^⊤,\qquad \tilde x = (x, 1).

    Parameters
    ----------
    probabilities : (N, C) tensor
        What the model gives each class.

    Returns
    -------
    (P, P) float64 tensor, P = C·(D + 1)
    """
    x = examples[0].flatten(1).double()
    rows = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], dim=1)
    p = probabilities.double()
    bends = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    full = torch.einsum("ncd,ni,nj->cidj", bends, rows, rows) / len(x)
    classes, inputs = p.shape[1], x.shape[1]
    flat = full.reshape(classes * (inputs + 1), -1)
    places = torch.arange(classes * (inputs + 1)).view(classes, inputs + 1)
    order = torch.cat([places[:, :-1].reshape(-1), places[:, -1]])
    return flat[order][:, order]


@lru_cache(maxsize=8, typed=True)  # True is no seed, though it equals 1
def digits_split(size: int, test_fraction: float, split_seed: int) -> tuple[Examples, Examples]:
    """``((N, 1, size, size), (N,))`` for training and test: stratified by class, standardised by training pixels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    check_share("test_fraction", test_fraction)
    check_seed(split_seed, name="split_seed")
    digits = load_digits()
    try:
        rows = train_test_split(
            range(len(digits.target)), test_size=test_fraction, random_state=split_seed, stratify=digits.target
        )
    except ValueError as error:
        raise UsageError(f"test_fraction={test_fraction!r}, split_seed={split_seed!r}: {error}") from error
    images = torch.tensor(digits.images, dtype=torch.float32)[:, None]
    if size != images.shape[-1]:
        images = functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    targets = torch.tensor(digits.target, dtype=torch.int64)
    train_rows, test_rows = (torch.tensor(r) for r in rows)
    images = standardise(images, images[train_rows])
    return (images[train_rows], targets[train_rows]), (images[test_rows], targets[test_rows])


def standardise(images: Tensor, reference: Tensor) -> Tensor:
    """Subtract the reference's mean pixel and divide by its standard deviation, both taken over all pixels."""
    spread, mean = torch.std_mean(reference.double())
    return (images - float(mean)) / max(float(spread), 1e-12)


def first_examples(examples: Examples, count: int | None, name: str) -> Examples:
    """The first ``count`` examples, or all where it is None."""
    if count is None:
        return examples
    check_count(name, count)
    if count > len(examples[1]):
        raise UsageError(f"{name}={count} is more than the {len(examples[1])} examples there are")
    return examples[0][:count], examples[1][:count]
