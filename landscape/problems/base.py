"""A problem: the model, the loss and the data that a checkpoint can name, and the recipe that trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import UsageError

if TYPE_CHECKING:
    from landscape.objective import Objective

LossFunction = Callable[[Tensor, Tensor], Tensor]
Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to train a problem when nothing else is asked for.

    Attributes
    ----------
    optimizer : str
    batch_size, epochs : int
    full_batch_epochs : int
        Epochs of an optimizer that takes the whole data set as one batch, and so makes one step in each.
    learning_rates : mapping from optimizer name to learning rate
        Those that suit this problem; an optimizer left out takes its general default
        (``landscape.optimizers.LEARNING_RATES``).
    """

    optimizer: str = "sgd"
    batch_size: int = 64
    epochs: int = 30
    full_batch_epochs: int = 300
    learning_rates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        check_count("epochs", self.epochs)
        check_count("full_batch_epochs", self.full_batch_epochs)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Model + loss + data, determined by a name and a JSON config.

    The tensors are shared by every problem of the same config in a process: read them, never write to them.

    Attributes
    ----------
    build : callable
        ``build() -> nn.Module``, a fresh model. It may draw from torch's CPU generator, which ``make_model`` seeds.
    loss_fn : callable
        ``loss_fn(output, target) -> scalar``, a mean over examples.
    loss_name : str
        The loss in one word, for tables.
    train, test : (inputs, targets)
        Tensors with N examples each along their first axis. ``test`` may be None: there are no test data.
    num_classes : int or None
        C where the targets are class numbers, else None.
    regularizer : callable or None
        ``regularizer(model) -> scalar``, added to the loss.
    hessian : (P, P) float64 tensor or None
        The Hessian of the training loss, where it is known in closed form and the same everywhere.
    at_once : int
        Examples whose activations are held at once in training and in its metrics.
    recipe : Recipe
    name, config : str, dict
        What a checkpoint stores; set by ``get_problem`` and ``load_problem``, with every default written out.
    """

    build: Callable[[], nn.Module]
    loss_fn: LossFunction
    loss_name: str
    train: Examples
    test: Examples | None = None
    num_classes: int | None = None
    regularizer: Callable[[nn.Module], Tensor] | None = None
    hessian: Tensor | None = None
    at_once: int = 512
    recipe: Recipe = field(default_factory=Recipe)
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("at_once", self.at_once)
        if self.num_classes is not None:
            check_count("num_classes", self.num_classes)
        for split, data in (("train", self.train), ("test", self.test)):
            if data is None:
                continue
            inputs, targets = data
            if len(inputs) == 0 or len(inputs) != len(targets):
                raise UsageError(
                    f"the {split} data have {len(inputs)} inputs and {len(targets)} targets; "
                    "give as many of one as of the other, and at least one"
                )

    def make_model(self, seed: int) -> nn.Module:
        """Build a model with the weights of this seed. The global random state is left as it was.

        Raises
        ------
        UsageError
            If ``seed`` is not an integer.
        """
        seed = check_seed(seed)
        with torch.random.fork_rng(devices=[]):
            # Only the CPU generator: torch.manual_seed would also move those of the accelerators.
            torch.default_generator.manual_seed(seed)
            return self.build()

    def loss(self, model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of the model over these examples, plus the regularizer where there is one."""
        value = self.loss_fn(model(inputs), targets)
        return value if self.regularizer is None else value + self.regularizer(model)

    def with_recipe(self, recipe: Recipe) -> Problem:
        """The same problem, trained otherwise."""
        return replace(self, recipe=recipe)

    def pieces(self, inputs: Tensor, targets: Tensor) -> Iterator[tuple[float, Examples]]:
        """``(share, (inputs, targets))``: pieces of ``at_once`` examples, and the share of each in the mean."""
        for x, y in zip(inputs.split(self.at_once), targets.split(self.at_once), strict=True):
            yield len(y) / len(targets), (x, y)

    def data(self, split: str) -> Examples:
        """``(inputs, targets)`` of ``"train"`` or ``"test"``.

        Raises
        ------
        UsageError
            If the problem has no test data.
        """
        check_choice("split", split, ("train", "test"))
        found = self.train if split == "train" else self.test
        if found is None:
            raise UsageError(f"problem {self.name or '(unnamed)'} has no {split} data; give it some with test=")
        return found

    def objective(self, model: nn.Module, *, split: str = "train", **options: Any) -> Objective:
        """L(θ) of this model over one split; ``options`` as for :class:`landscape.Objective`."""
        from landscape.objective import Objective

        data = self.data(split)
        if self.regularizer is None:
            return Objective(model, self.loss_fn, data, **options)
        return Objective.from_loss(model, lambda model, batch: self.loss(model, *batch), data, **options)


def half_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """½ Σ over outputs of the squared error, mean over examples; class numbers are compared as one-hot vectors.

    The convention of Cohen et al. (2021), for which gradient descent is stable up to λ_max = 2/η.
    """
    if not target.is_floating_point():
        target = functional.one_hot(target, output.shape[1]).to(output.dtype)
    return 0.5 * (output - target).square().flatten(1).sum(1).mean()
