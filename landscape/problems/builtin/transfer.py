"""Clean digits from few examples, by a network that knows noisy ones: from scratch, by its head alone, as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_not_negative
from landscape.problems.base import Examples, Problem
from landscape.problems.builtin.digits import NUM_CLASSES, digits_split, first_examples
from landscape.problems.builtin.networks import MLP
from landscape.problems.recipe import Recipe

MODES = ("scratch", "all", "head", "head-first")
NOISY, MOVED = "accuracy on noisy images", "change of the features"
#: Steps of gradient descent that make the features, and their size; of L-BFGS that fit the head, and ½·RIDGE·‖W‖² that
#: keeps it finite.
FEATURE_STEPS, FEATURE_RATE = 400, 0.5
HEAD_STEPS, RIDGE = 200, 1e-3


class Transfer(nn.Module):
    """A perceptron whose features may be held still in training.

    In ``train()`` mode no gradient reaches them where they are held; in ``eval()`` mode all parameters count, so that
    curvature is over the same parameters whatever a training moves.
    """

    def __init__(self, width: int, *, held: bool) -> None:
        super().__init__()
        self.features, self.held = MLP(64, (width,), width), held
        self.head = nn.Linear(width, NUM_CLASSES)

    def represent(self, x: Tensor) -> Tensor:
        """Inputs (N, …) → features (N, width)."""
        return torch.tanh(self.features(x))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (N, …) → logits (N, 10)."""
        z = self.represent(x)
        logits: Tensor = self.head(z.detach() if self.held and self.training else z)
        return logits


def transfer_digits(
    *,
    mode: str = "all",
    hidden: int = 100,
    num_train: int | None = None,
    noise: float = 1.0,
    test_fraction: float = 0.3,
    split_seed: int = 0,
) -> Problem:
    """Classify clean digits, by features that were trained on noisy images of others: half of the training examples.

    It measures the accuracy on noisy test images too, which the features knew and this training does not show, and how
    far the features of the training images are from where they began, relative to their length.

    Parameters
    ----------
    mode : {"all", "head", "head-first", "scratch"}
        Fine-tuning from a random head; linear probing; fine-tuning from the head that linear probing finds; no
        features to begin with.
    hidden : int
        Width of both layers of the features.
    num_train : int, optional
        Keeps the first that many examples of the other half.
    noise : float
        Its standard deviation, in those of the pixels.

    References
    ----------
    Kumar, Raghunathan, Jones, Ma & Liang (2022), ICLR, arXiv:2202.10054: fine-tuning distorts features, and a head
    that is fitted first spares them.
    """
    check_choice("mode", mode, MODES)
    check_count("hidden", hidden)
    check_not_negative("noise", noise)
    _, train, test = _tasks(test_fraction, split_seed)
    train = first_examples(train, num_train, "num_train")
    known = _Known(hidden, noise, test_fraction, split_seed, len(train[1]))
    return Problem(
        build=partial(_build, mode, known),
        loss_fn=functional.cross_entropy,
        loss_name="cross_entropy",
        train=train,
        test=test,
        num_classes=NUM_CLASSES,
        measures=partial(_measures, train[0], test, noise, None if mode == "scratch" else known),
        recipe=Recipe("sgd", batch_size=32, epochs=60),
    )


def _tasks(test_fraction: float, split_seed: int) -> tuple[Examples, Examples, Examples]:
    """The half on which the features are trained, the other half, and the test examples."""
    (images, labels), test = digits_split(8, test_fraction, split_seed)
    half = len(labels) // 2
    return (images[:half], labels[:half]), (images[half:], labels[half:]), test


def _noisy(images: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    return images + noise * torch.randn(images.shape, generator=generator)


@dataclass(frozen=True)
class _Known:
    """What is known before the training: determined by these, and made once in a process."""

    hidden: int
    noise: float
    test_fraction: float
    split_seed: int
    num_train: int

    @lru_cache(maxsize=8)  # noqa: B019  frozen, and few
    def model(self) -> Transfer:
        """Features by gradient descent on noisy images, and the head that fits clean ones; never written to."""
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.default_generator.manual_seed(0)
            model = Transfer(self.hidden, held=False)
            (images, labels), (others, their), _ = _tasks(self.test_fraction, self.split_seed)
            generator = torch.Generator().manual_seed(0)
            optimizer = torch.optim.SGD(model.parameters(), lr=FEATURE_RATE)
            for _ in range(FEATURE_STEPS):
                optimizer.zero_grad()
                functional.cross_entropy(model(_noisy(images, self.noise, generator)), labels).backward()
                optimizer.step()
            _fit_head(model, others[: self.num_train], their[: self.num_train])
        return model.requires_grad_(False)


def _fit_head(model: Transfer, images: Tensor, labels: Tensor) -> None:
    with torch.no_grad():
        z = model.represent(images)
    model.head.reset_parameters()
    optimizer = torch.optim.LBFGS(model.head.parameters(), max_iter=HEAD_STEPS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.head(z), labels) + 0.5 * RIDGE * model.head.weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)


def _build(mode: str, known: _Known) -> nn.Module:
    model = Transfer(known.hidden, held=mode == "head")
    if mode != "scratch":
        model.features.load_state_dict(known.model().features.state_dict())
    if mode == "head-first":
        model.head.load_state_dict(known.model().head.state_dict())
    return model


def _measures(
    inputs: Tensor, test: Examples, noise: float, known: _Known | None, model: nn.Module, split: str
) -> Mapping[str, float]:
    """On noisy test images, and of the features where there were some."""
    assert isinstance(model, Transfer)
    like = next(model.parameters())
    with torch.no_grad():
        if split == "test":
            moved = _noisy(test[0], noise, torch.Generator().manual_seed(1))
            right = model(moved.to(like)).argmax(1) == test[1].to(like.device)
            return {NOISY: float(right.double().mean())}
        if known is None:
            return {}
        before = known.model().represent(inputs).to(like)
        return {MOVED: float((model.represent(inputs.to(like)) - before).norm() / before.norm())}
