"""The bends of a curve, trained so that the loss along it is low on average."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.geometry.batch_statistics import layers
from landscape.geometry.connecting.batches import batches
from landscape.geometry.endpoints import Between
from landscape.results.connection import shares

#: By name; each with its settings as Garipov et al. have them, or as torch has.
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "sgd": partial(torch.optim.SGD, momentum=0.9),
}
#: Learning rates where none is asked for.
RATES = {"adam": 0.01, "sgd": 0.05}
#: The learning rate falls on a straight line between these shares of the training, to this share of itself.
_FALLS, _LAST = (0.5, 0.9), 0.01
#: How often the whole curve is looked at, where its training may end early.
_LOOKS = 10
_GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True)
class Recipe:
    """How bends are trained; all checked."""

    curve: str
    steps: int
    lr: float
    optimizer: str
    batch: int | None
    weight_decay: float
    seed: int

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0: constant for half of them, then falling."""
        begin, end = _FALLS
        fallen = min(max((step / self.steps - begin) / (end - begin), 0.0), 1.0)
        return self.lr * (1 - (1 - _LAST) * fallen)

    def __str__(self) -> str:
        of = f"batches of {self.batch}" if self.batch is not None else "all data at once"
        decay = f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        return f"{self.optimizer} at {self.lr:g}, {of}{decay}"


@dataclass(frozen=True)
class Trained:
    """What became of it.

    Attributes
    ----------
    control : (K + 2, P) tensor
    history : list of float
        The loss of each step, of its batch at its t.
    num_gradients : float
        Over the whole data.
    reason : str
        Why it ended early.
    """

    control: Tensor
    history: list[float]
    num_gradients: float
    reason: str


def point_on(curve: str, control: Tensor, t: float) -> Tensor:
    """φ(t), (P,); at 0 and 1 the ends to the last bit."""
    if t in (0, 1):
        return control[-int(t)]
    counts = torch.as_tensor(shares(curve, t, len(control)), dtype=control.dtype, device=control.device)
    return (counts[:, None] * control).sum(0)


def train(
    way: Between,
    control: Tensor,
    recipe: Recipe,
    *,
    is_done: Callable[[Tensor], bool] | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Trained:
    """Train what lies between the first and the last row of ``control``.

    A step takes one t and one batch; its gradient by bend k is what that bend counts at t times ∇L(φ(t)). Each t is
    uniform; together they are a shifted golden sequence, which leaves less to chance than independent draws.

    Parameters
    ----------
    is_done : callable, optional
        ``is_done(control)``, asked after each tenth of the steps.
    """
    rng = np.random.default_rng(recipe.seed)
    first, history, cost = rng.random(), list[float](), 0.0
    source = batches(way.objective, recipe.batch, rng)
    recomputes = way.batch_statistics == "recompute"
    normalising = list(layers(way.objective.module.model).values()) if recomputes else []
    with torch.inference_mode(False):
        control = control.detach().clone()
        bends = control[1:-1].clone().requires_grad_()
        optimizer = OPTIMIZERS[recipe.optimizer]([bends], lr=recipe.lr)
        for step in range(recipe.steps):
            t = (first + step * _GOLDEN) % 1
            counts = torch.as_tensor(shares(recipe.curve, t, len(control)), dtype=bends.dtype, device=bends.device)
            theta = point_on(recipe.curve, control, t)
            drawn = next(source)
            here = drawn.objective.with_constants(way.buffers(1 - t, t))
            with _by_batch(normalising):
                loss, gradient = here.loss_and_gradient(theta)
            cost += drawn.share
            gradient = drawn.factor * gradient + recipe.weight_decay * theta
            if not (np.isfinite(loss) and bool(gradient.isfinite().all())):
                said = f"training ended at step {step + 1}, where the loss is not finite; a smaller lr may help"
                return Trained(control, history, cost, said)
            bends.grad = counts[1:-1, None] * gradient
            optimizer.param_groups[0]["lr"] = recipe.rate(step)
            optimizer.step()
            control[1:-1] = bends.detach()
            history.append(drawn.factor * loss)
            report(step + 1)
            if is_done is not None and _is_look(step + 1, recipe.steps) and is_done(control):
                return Trained(control, history, cost, f"ended after {step + 1} steps: the curve is as low as asked")
    return Trained(control, history, cost, "")


def _is_look(done: int, steps: int) -> bool:
    return done < steps and done % max(1, steps // _LOOKS) == 0


@contextmanager
def _by_batch(normalising: Sequence[nn.Module]) -> Iterator[None]:
    """These layers take their statistics from the batch, as in training; all else is as it is evaluated.

    Modes are put back, and the statistics that such a layer gathers kept from the model, by whoever borrows it.
    """

    def switch(layer: nn.Module, args: Any) -> None:
        layer.training = True

    handles = [layer.register_forward_pre_hook(switch) for layer in normalising]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
