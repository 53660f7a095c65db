"""A problem: the model, the loss and the data that a checkpoint can name, and the recipe that trains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from landscape.checks import check_choice, check_count, check_seed
from landscape.errors import UsageError
from landscape.objective import Objective, Weight
from landscape.objective.batches import Batches, can_cut, cast, cut, take, unpack, weigh
from landscape.objective.losses import LossModule, LossOfOutputs, OwnLoss, SupervisedLoss, name_of
from landscape.problems.chart import Chart
from landscape.problems.recipe import Recipe
from landscape.problems.seeded import seeded

LossFunction = Callable[[Any, Any], Tensor]
Examples = tuple[Tensor, Tensor]
#: What a problem hands on to its objective, where it says so.
_OPTIONS = ("weight", "params", "mode", "chunk", "interacting", "likelihood")


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Model + loss + data, determined by a name and a JSON config.

    The loss is one of three: ``loss_fn(output, target)`` of data that are (inputs, targets); ``loss(model, batch)`` of
    any batches; or ``loss(outputs, batch)`` where ``outputs(model, batch)`` is given too, which keeps Gauss-Newton,
    Fisher, normalised logits and, with ``targets``, accuracies. Data are read once; tensors are shared by every problem
    of the same config in a process: read them, never write to them.

    Attributes
    ----------
    build : callable
        ``build() -> nn.Module``, a fresh model. It may draw from torch's CPU generator, which ``make_model`` seeds.
    train, test : (inputs, targets), DataLoader, Dataset or list of batches
        As :class:`landscape.Objective` takes them. ``test`` may be None: there are no test data.
    loss_fn, loss, outputs : callable
        See above; a mean over examples, or over what ``weight`` counts.
    targets : callable, optional
        ``targets(batch)``, the class numbers that ``outputs`` are scores of; negative ones do not count.
    weight, params, mode, chunk, interacting, likelihood : optional
        As for :class:`landscape.Objective`; what an analysis asks for goes before.
    measures : callable, optional
        ``measures(model, split) -> {name: number}``, called in eval mode with ``"train"`` or ``"test"``; an
        ``"accuracy"`` (0 … 1) or ``"confusion"`` ((C, C) counts, true classes in rows) stands for the one of classes.
    loss_name : str
        The loss in one word, for tables; left out, the name of the function.
    num_classes : int or None
        C where the targets are class numbers; left out, it is seen from the outputs.
    regularizer : callable or None
        ``regularizer(model) -> scalar``, added to the loss.
    hessian : (P, P) float64 tensor or None
        The Hessian of the training loss, where it is known in closed form and the same everywhere.
    known : mapping of name to number
        What is known in closed form at the minimum of the training loss: of its own measures, by name, and of those of
        ``landscape.store.catalogue``, by key.
    chart : Chart or None
        The picture of a problem of two variables, however its model is parametrised.
    at_once : int
        Examples whose activations are held at once in training and in its metrics.
    recipe : Recipe
    name, config : str, dict
        What a checkpoint stores; set by ``get_problem`` and ``load_problem``, with every default written out.

    Raises
    ------
    UsageError
        If there is no loss or more than one, or a split has not as many targets as inputs.

    Examples
    --------
    >>> data = {"x": torch.randn(8, 3), "y": torch.randn(8, 1)}
    >>> problem = Problem(build=lambda: nn.Linear(3, 1), train=data,
    ...                   loss=lambda model, batch: functional.mse_loss(model(batch["x"]), batch["y"]))
    >>> problem.objective(problem.make_model(seed=0)).num_examples
    8
    """

    build: Callable[[], nn.Module]
    train: Any
    test: Any = None
    loss_fn: LossFunction | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    outputs: Callable[[Any, Any], Any] | None = None
    targets: Callable[[Any], Tensor] | None = None
    weight: Weight | None = None
    params: str | Sequence[str] | None = None
    mode: str | None = None
    chunk: int | str | None = None
    interacting: bool | None = None
    likelihood: str | None = None
    measures: Callable[[nn.Module, str], Mapping[str, Any]] | None = None
    loss_name: str = ""
    num_classes: int | None = None
    regularizer: Callable[[nn.Module], Tensor] | None = None
    hessian: Tensor | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    chart: Chart | None = None
    at_once: int = 512
    recipe: Recipe = field(default_factory=Recipe)
    name: str = ""
    config: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_count("at_once", self.at_once)
        if self.num_classes is not None:
            check_count("num_classes", self.num_classes)
        self._check_loss()
        for split, data in (("train", self.train), ("test", self.test)):
            if is_pair(data):
                inputs, targets = data
                if len(inputs) == 0 or len(inputs) != len(targets):
                    raise UsageError(
                        f"the {split} data have {len(inputs)} inputs and {len(targets)} targets; "
                        "give as many of one as of the other, and at least one; where examples do not stand along the "
                        "first dimension, a list of batches with weight=lambda batch: (how many it has)"
                    )

    def _check_loss(self) -> None:
        given = [name for name in ("loss_fn", "loss") if getattr(self, name) is not None]
        if len(given) != 1 or (self.outputs is not None and self.loss is None):
            raise UsageError(
                f"a problem has one loss, and this one has {' and '.join(given) or 'none'}: give "
                "loss_fn(output, target), or loss(model, batch), or outputs(model, batch) with loss(outputs, batch)"
            )
        if self.targets is not None and self.outputs is None:
            raise UsageError(
                "targets(batch) are what outputs are scores of: give outputs(model, batch) and loss(outputs, batch)"
            )
        if not self.loss_name:
            object.__setattr__(self, "loss_name", name_of(self.loss_fn or self.loss))

    def make_model(self, seed: int) -> nn.Module:
        """Build a model with the weights of this seed. The global random state is left as it was.

        Lazy modules take their shapes from a pass of the first examples.

        Raises
        ------
        UsageError
            If ``seed`` is not an integer.
        """
        seed = check_seed(seed)
        with torch.random.fork_rng(devices=[]):
            # Only the CPU generator: torch.manual_seed would also move those of the accelerators.
            torch.default_generator.manual_seed(seed)
            model = self.build()
            if any(isinstance(p, nn.parameter.UninitializedParameter) for p in model.parameters()):
                self._give_shapes(model)
            return model

    def _give_shapes(self, model: nn.Module) -> None:
        """In eval mode, so that no running statistics move; the modes are as they were afterwards."""
        modes = [(module, module.training) for module in model.modules()]
        like = next(model.parameters())
        few = cast(self.batches("train").first(2, self.weight), like.dtype, like.device)
        model.eval()
        with torch.enable_grad():  # the loss itself may differentiate
            self.loss_module(model).mean_loss(unpack(few))
        for module, training in modes:
            module.training = training

    def loss_module(self, model: nn.Module) -> LossModule:
        """Model and loss as one, of a batch; without the regularizer."""
        if self.loss_fn is not None:
            return SupervisedLoss(model, self.loss_fn)
        assert self.loss is not None
        return OwnLoss(model, self.loss) if self.outputs is None else LossOfOutputs(model, self.outputs, self.loss)

    def mean_loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Mean loss of the model over a batch, plus the regularizer where there is one."""
        value = self.loss_module(model).mean_loss(unpack(batch))
        return value if self.regularizer is None else value + self.regularizer(model)

    def with_recipe(self, recipe: Recipe) -> Problem:
        """The same problem, trained otherwise."""
        return replace(self, recipe=recipe)

    def weigh(self, batch: Any) -> float:
        """What the mean of the loss runs over in a batch: its examples, or what ``weight`` counts."""
        return weigh(batch, self.weight)

    def pieces(self, batch: Any) -> Iterator[tuple[float, Any]]:
        """``(share, piece)``: pieces of ``at_once`` examples, and the share of each in the mean; whole where examples
        interact or a batch cannot be cut. Pieces without weight are no part of it."""
        if is_pair(batch) and self.weight is None and not self.interacting:
            inputs, targets = batch
            for pair in zip(inputs.split(self.at_once), targets.split(self.at_once), strict=True):
                yield len(pair[1]) / len(targets), pair
            return
        parts = [batch] if self.interacting or not can_cut(batch) else cut(batch, self.at_once)
        weights = [self.weigh(part) for part in parts]
        for part, weight in zip(parts, weights, strict=True):
            if weight:
                yield (weight / sum(weights) if len(parts) > 1 else 1.0), part

    @property
    def num_examples(self) -> int:
        """N of the training data."""
        return self.batches("train").num_examples

    def examples(self, rows: Tensor) -> Any:
        """The training examples with these numbers as one batch.

        Raises
        ------
        UsageError
            If the data are batches that nothing cuts.
        """
        joined = None if self.interacting else self.batches("train").joined
        if joined is None:
            raise UsageError(
                f"the data of problem {self.name or '(unnamed)'} are batches that stay as they come, so no batches can "
                "be drawn from them: train it by a loop of your own that saves with landscape.save_checkpoint"
            )
        return tuple(part[rows] for part in joined) if is_pair(joined) else take(joined, rows)

    def data(self, split: str) -> Any:
        """The data of ``"train"`` or ``"test"``, as they were given.

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

    def batches(self, split: str) -> Batches:
        """The same read into batches of fixed order, once: a loader that shuffles is harmless.

        Raises
        ------
        UsageError
            As :meth:`data`.
        ObjectiveError
            If they cannot be read, or do not say how many examples they are.
        """
        self.data(split)
        return self._train_batches if split == "train" else self._test_batches

    @cached_property
    def _train_batches(self) -> Batches:
        return self._read(self.train)

    @cached_property
    def _test_batches(self) -> Batches:
        return self._read(self.test)

    def _read(self, data: Any) -> Batches:
        with seeded():
            found = Batches(data, weight=self.weight)
        return found.kept_whole() if self.interacting else found

    def objective(self, model: nn.Module, *, split: str = "train", **options: Any) -> Objective:
        """L(θ) of this model over one split; ``options`` as for :class:`landscape.Objective`."""
        own = {name: value for name in _OPTIONS if (value := getattr(self, name)) is not None}
        data, options = self.batches(split), {**own, **options}
        if self.regularizer is not None:
            return Objective.from_loss(model, self.mean_loss, data, **options)
        if self.loss_fn is not None:
            return Objective(model, self.loss_fn, data, **options)
        assert self.loss is not None
        if self.outputs is not None:
            return Objective.from_outputs(model, self.outputs, self.loss, data, **options)
        return Objective.from_loss(model, self.loss, data, **options)


def is_pair(data: Any) -> bool:
    """Whether data are (inputs, targets), one tensor each; a named tuple is a batch of its own kind."""
    return type(data) is tuple and len(data) == 2 and all(isinstance(part, Tensor) and part.ndim for part in data)


def half_squared_error(output: Tensor, target: Tensor) -> Tensor:
    """½ Σ over outputs of the squared error, mean over examples; class numbers are compared as one-hot vectors.

    The convention of Cohen et al. (2021), for which gradient descent is stable up to λ_max = 2/η.
    """
    if not target.is_floating_point():
        target = functional.one_hot(target, output.shape[1]).to(output.dtype)
    return 0.5 * (output - target).square().flatten(1).sum(1).mean()
