"""The update that an optimizer would make: one step of a copy of it, on copies of the parameters."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.checkpoints import Checkpoint
from landscape.checkpoints.writer import unwrap
from landscape.checks import check_positive, check_seed
from landscape.device import generators_kept, widened
from landscape.edge_of_stability.closure import Feed
from landscape.edge_of_stability.copies import OptimizerCopy, rates_of
from landscape.edge_of_stability.rebuilding import Make, rebuilt
from landscape.errors import LandscapeError, UsageError, in_one_line
from landscape.objective import Objective, Vector
from landscape.params import ParamLayout
from landscape.results import OptimizerUpdate

#: Decay stands by itself where leaving it out changes the step by λθ, but for this share of it.
_DECAY_WITHIN = 0.05

Optimizers = Optimizer | Sequence[Optimizer] | Checkpoint


def optimizer_update(
    question: Objective | nn.Module,
    optimizer: Optimizers,
    *,
    theta: Vector | None = None,
    gradient: Vector | None = None,
    lr: float | None = None,
    make: Make | None = None,
    seed: int = 0,
) -> OptimizerUpdate:
    r"""u, by which an optimizer with its state would move θ per unit of learning rate: ``θ ← θ − η·u``.

    A copy of the optimizer makes one step on copies of the parameters, in float64 where its class allows that, so that
    u is not lost in the rounding of θ. Nothing of the caller's is touched: parameters, state, gradients, generators.

    Parameters
    ----------
    question : Objective or nn.Module
        Gives the gradient. Of a model, that in ``.grad``, as a backward pass left it.
    optimizer : Optimizer, sequence of them, or Checkpoint
        Any class, with momentum and scales as they stand now; several where each has its part of θ. Of a checkpoint the
        one stored in it: of torch.optim, or any that our training knows by name.
    theta : (P,) tensor or array, optional
        Where the step begins; left out, the model's parameters now.
    gradient : (P,) tensor or array, optional
        What the optimizer is fed, such as that of one batch; left out, that of the objective.
    lr : float, optional
        η in place of the first group's rate; rates of other groups keep their ratio to it. Asked for where it is 0.
    make : callable, optional
        ``make(parameters) -> Optimizer``, for a checkpoint of another class.
    seed : int
        Of optimizers that draw.

    Returns
    -------
    OptimizerUpdate
        ``vector`` with weight decay, ``without_decay`` without the part ``λθ`` that is decoupled. Decay that goes
        through the gradient (SGD, Adam with ``weight_decay``) stays in both, for momentum and scales hold it, too.

    Raises
    ------
    UsageError
        If the optimizer moves no tensor of θ, has no learning rate, cannot be copied, or its step raises.
    CheckpointError
        If the checkpoint holds no optimizer, or that of another model.

    Notes
    -----
    Costs one gradient, or those that the optimizer's step takes, and the memory of two copies of its state. Hooks of
    the optimizer, gradient clipping and scaling of losses in the training script are no part of the step.

    Examples
    --------
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> _ = torch.nn.init.constant_(model.weight, 3.0)
    >>> objective = Objective(model, torch.nn.functional.mse_loss, (torch.ones(4, 1), torch.zeros(4, 1)))
    >>> optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    >>> update = optimizer_update(objective, optimizer)  # a first step of Adam: the sign of the gradient
    >>> print(update.vector.round(6), update.without_decay.round(6))
    [2.5] [1.]
    """
    seed, objective = check_seed(seed), question if isinstance(question, Objective) else None
    model = unwrap(question) if objective is None else objective.module.model  # type: ignore[arg-type]
    layout = ParamLayout.of(model) if objective is None else objective.layout
    optimizers = _optimizers(optimizer, model, make)
    start = _start(model, layout, objective, theta)
    if gradient is not None:
        g = torch.as_tensor(gradient).detach().to("cpu", torch.float64)
        if g.shape != (layout.size,):
            raise UsageError(f"a gradient of shape {tuple(g.shape)} does not fit: θ has shape ({layout.size},)")
    else:
        g = _gradient_of(model, layout) if objective is None else widened(objective.gradient(start)).cpu()
    rates, eta = _rates(optimizers, lr)
    step = _Step(optimizers, model, layout, objective, start, g, rates, seed)
    if not step.names:
        raise UsageError(f"the optimizer has none of the parameters of θ ({', '.join(layout.names[:6])})")
    moved, dtype = step.made(decay=True)
    u = moved / eta
    decay = _decay(step, u, eta) if any(_decays(o) for o in optimizers) else torch.zeros_like(u)
    return OptimizerUpdate(
        vector=u.numpy(), decay=decay.numpy(), names=layout.names, sizes=np.array(layout.sizes),
        optimizer=", ".join(type(o).__name__ for o in optimizers), lr=eta, slope=float(g @ u),
        grad_norm=float(torch.linalg.vector_norm(g)), dtype=dtype, seed=seed,
    )  # fmt: skip


@dataclass
class _Step:
    """One step of copies of the optimizers, as often as it is asked for."""

    optimizers: list[Optimizer]
    model: nn.Module
    layout: ParamLayout
    objective: Objective | None
    start: Tensor
    gradient: Tensor
    rates: list[list[dict[str, float]]]
    seed: int

    @property
    def names(self) -> dict[int, str]:
        """id → name of the parameters that are in θ and in an optimizer."""
        inside = set(self.layout.names)
        name_of = {id(p): name for name, p in self.model.named_parameters() if name in inside}
        held = {id(p) for o in self.optimizers for group in o.param_groups for p in group["params"]}
        return {number: name for number, name in name_of.items() if number in held}

    def made(self, *, decay: bool) -> tuple[Tensor, str]:
        """(P,) θ before less θ after, float64, and in which type it was computed."""
        try:
            return self._in(torch.float64, decay), "float64"
        except Exception:  # a class that insists on the type of its parameters
            pass
        try:
            return self._in(None, decay), "that of the parameters"
        except LandscapeError:
            raise
        except Exception as error:
            kinds = ", ".join(type(o).__name__ for o in self.optimizers)
            raise UsageError(f"the step of {kinds} raised {in_one_line(error)}") from error

    def _in(self, dtype: torch.dtype | None, decay: bool) -> Tensor:
        twins = [OptimizerCopy(o, dtype) for o in self.optimizers]
        copies = {
            name: twin.parameters[number] for number, name in self.names.items() for twin in twins
            if number in twin.parameters
        }  # fmt: skip
        pieces = self.layout.unflatten(self.start)
        with torch.no_grad():
            for name, copy in copies.items():
                copy.copy_(pieces[name])
        feed = Feed(copies, self.layout, self.start, self.gradient, self.objective)
        before = feed.stand()
        with generators_kept([copy.device for copy in copies.values()], seed=self.seed):
            feed()
            for twin, rates in zip(twins, self.rates, strict=True):
                twin.set_rates(rates)
                if not decay:
                    twin.without_decay()
                if _takes_closure(twin.optimizer):
                    twin.optimizer.step(feed)  # type: ignore[arg-type]
                else:
                    twin.optimizer.step()
        moved = before - feed.stand()
        if not bool(torch.isfinite(moved).all()):
            raise UsageError("the step is not finite: the gradient, or the state of the optimizer, holds NaN or Inf")
        return moved.cpu()


def _optimizers(given: Optimizers, model: nn.Module, make: Make | None) -> list[Optimizer]:
    if isinstance(given, Checkpoint):
        return [rebuilt(given, model, make)]
    found = [given] if isinstance(given, Optimizer) else list(given) if isinstance(given, Sequence) else []
    if not found or not all(isinstance(o, Optimizer) for o in found):
        raise UsageError(
            f"optimizer is a {type(given).__name__}; expected an Optimizer, several of them, or a Checkpoint"
        )
    return found


def _start(model: nn.Module, layout: ParamLayout, objective: Objective | None, theta: Vector | None) -> Tensor:
    if theta is None:
        named = dict(model.named_parameters())
        return layout.flatten({name: named[name].detach().to("cpu", torch.float64) for name in layout.names})
    start = torch.as_tensor(theta).detach().to("cpu", torch.float64)
    if start.shape != (layout.size,):
        raise UsageError(f"a vector of shape {tuple(start.shape)} does not fit: θ has shape ({layout.size},)")
    return start


def _gradient_of(model: nn.Module, layout: ParamLayout) -> Tensor:
    named = dict(model.named_parameters())
    if all(named[name].grad is None for name in layout.names):
        raise UsageError("no parameter of the model has a gradient; call backward() first, or pass an Objective")
    grads = {n: torch.zeros_like(named[n]) if named[n].grad is None else named[n].grad for n in layout.names}
    return layout.flatten({name: g.detach().to("cpu", torch.float64) for name, g in grads.items() if g is not None})


def _rates(optimizers: list[Optimizer], lr: float | None) -> tuple[list[list[dict[str, float]]], float]:
    """The rates of each optimizer's groups, and the one that is the unit."""
    found = [rates_of(o) for o in optimizers]
    first = found[0][0]["lr"]
    if lr is None:
        if not first > 0:
            raise UsageError(f"the learning rate is {first:g} now; pass lr=, the rate of the step to be looked at")
        return found, first
    eta = check_positive("lr", lr)
    if first > 0:
        return [[{k: v * eta / first for k, v in own.items()} for own in groups] for groups in found], eta
    return [[dict.fromkeys(own, eta) for own in groups] for groups in found], eta


def _decays(optimizer: Optimizer) -> bool:
    return any(group.get("weight_decay") for group in optimizer.param_groups)


def _decay(step: _Step, u: Tensor, eta: float) -> Tensor:
    """What leaving weight decay out takes from u, where that is λθ; of SGD none, for its momentum holds it, too."""
    difference = u - step.made(decay=False)[0] / eta
    found, expected = torch.zeros_like(u), torch.zeros_like(u)
    slices = step.layout.slices()
    for o, rates in zip(step.optimizers, step.rates, strict=True):
        for group, own in zip(o.param_groups, rates, strict=True):
            for p in group["params"]:
                name = step.names.get(id(p))
                if name is None or isinstance(o, torch.optim.SGD):
                    continue
                place = slices[name]
                expected[place] = float(group.get("weight_decay") or 0) * own["lr"] / eta * step.start[place]
                found[place] = difference[place]
    apart = torch.linalg.vector_norm(found - expected)
    return found if apart <= _DECAY_WITHIN * torch.linalg.vector_norm(expected) else torch.zeros_like(u)


def _takes_closure(optimizer: Optimizer) -> bool:
    given = inspect.signature(optimizer.step).parameters.values()
    return any(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in given)
