"""The optimizers that a training script can name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, optim

from landscape.checks import check_choice, check_positive
from landscape.errors import UsageError
from landscape.optimizers.coordinate import CoordinateDescent
from landscape.optimizers.decentralized import GRAPHS, DecentralizedSGD
from landscape.optimizers.extrapolated import Extragradient, Optimistic
from landscape.optimizers.full_batch import BarzilaiBorwein, FrankWolfe, LineSearch
from landscape.optimizers.hypergradient import RULES, HypergradientAdam, HypergradientSGD
from landscape.optimizers.imperfect import LAWS, DelayedSGD, QuantizedSGD
from landscape.optimizers.local_sgd import LocalSGD
from landscape.optimizers.options import OneOf, with_defaults
from landscape.optimizers.polyak import Polyak, PolyakAdam
from landscape.optimizers.private import PrivateSGD
from landscape.optimizers.zeroth_order import SPSA, RandomSearch


@dataclass(frozen=True)
class OptimizerChoice:
    """What stands behind a name.

    Attributes
    ----------
    build : callable
        ``build(params, lr=…, **options) -> Optimizer``.
    lr : float
        A fair first guess.
    options : mapping
        Those it takes, with their defaults.
    fixed : mapping
        Those that the name decides.
    full_batch : bool
        Whether it takes the whole data set as one batch, unless another size is asked for.
    by_clients : bool
        Whether it asks for a batch for each of its ``clients``, whose data differ by ``skew``.
    """

    build: Callable[..., optim.Optimizer]
    lr: float
    options: Mapping[str, Any]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    full_batch: bool = False
    by_clients: bool = False


def _published(name: str) -> Callable[..., optim.Optimizer]:
    """Loads the package only when one of its optimizers is asked for: it takes longer than all of ours."""

    def build(params: Iterable[Tensor], *, lr: float, **options: Any) -> optim.Optimizer:
        from landscape.optimizers import from_pytorch_optimizer

        return from_pytorch_optimizer.build(name, params, lr, options)

    return build


_MOMENTUM: dict[str, Any] = {"momentum": 0.9, "weight_decay": 0.0}
_ADAM: dict[str, Any] = {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "amsgrad": False}
_POLYAK: dict[str, Any] = {"lowest": 0.0, "c": 1.0}
_HUTCHINSON: dict[str, Any] = {"num_samples": 1, "weight_decay": 0.0}
_SOAP: dict[str, Any] = {"precondition_frequency": 10, "max_precondition_dim": 10_000}
_SHARPNESS: dict[str, Any] = {"rho": 0.05, "momentum": 0.9, "weight_decay": 0.0}

OPTIMIZERS: dict[str, OptimizerChoice] = {
    # gd and sgd differ only in the batch.
    "gd": OptimizerChoice(optim.SGD, 0.1, {"weight_decay": 0.0}, full_batch=True),
    "sgd": OptimizerChoice(optim.SGD, 0.1, {"weight_decay": 0.0}),
    "momentum": OptimizerChoice(optim.SGD, 0.02, {**_MOMENTUM, "dampening": 0.0}),
    "nesterov": OptimizerChoice(optim.SGD, 0.02, _MOMENTUM, fixed={"nesterov": True}),
    "adam": OptimizerChoice(optim.Adam, 1e-3, _ADAM),
    "adamw": OptimizerChoice(optim.AdamW, 1e-3, {**_ADAM, "weight_decay": 0.01}),
    "rmsprop": OptimizerChoice(
        optim.RMSprop, 1e-3, {"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False, "weight_decay": 0.0}
    ),
    "adagrad": OptimizerChoice(
        optim.Adagrad, 1e-2, {"lr_decay": 0.0, "initial_accumulator_value": 0.0, "eps": 1e-10, "weight_decay": 0.0}
    ),
    "lbfgs": OptimizerChoice(
        optim.LBFGS, 1.0, {"history_size": 10, "tolerance_grad": 1e-12, "tolerance_change": 1e-15},
        fixed={"max_iter": 1, "max_eval": 25, "line_search_fn": "strong_wolfe"}, full_batch=True,
    ),
    "muon": OptimizerChoice(
        _published("muon"), 0.02,
        {"momentum": 0.95, "weight_decay": 0.0, "nesterov": True, "ns_steps": 5, "adam_lr": 1e-3},
    ),
    "polyak-sgd": OptimizerChoice(Polyak, 1.0, _POLYAK),
    "polyak-sgd-max": OptimizerChoice(Polyak, 1.0, {**_POLYAK, "c": 0.5}, fixed={"bounded": True}),
    "polyak-adam": OptimizerChoice(PolyakAdam, 1e-2, {"betas": (0.9, 0.999), "eps": 1e-8, "lowest": 0.0}),
    "adahessian": OptimizerChoice(
        _published("adahessian"), 0.05,
        {"betas": (0.9, 0.999), "eps": 1e-4, "hessian_power": 1.0, **_HUTCHINSON, "update_period": 1},
    ),
    "shampoo": OptimizerChoice(
        _published("shampoo"), 0.1,
        {"momentum": 0.0, "weight_decay": 0.0, "preconditioning_compute_steps": 10, "matrix_eps": 1e-4},
    ),
    "soap": OptimizerChoice(
        _published("soap"), 3e-3,
        {"betas": (0.95, 0.95), "eps": 1e-8, "weight_decay": 0.0, **_SOAP},
    ),
    "lion": OptimizerChoice(_published("lion"), 1e-4, {"betas": (0.9, 0.99), "weight_decay": 0.0}),
    "sam": OptimizerChoice(_published("sam"), 0.02, _SHARPNESS),
    "asam": OptimizerChoice(_published("asam"), 0.02, {**_SHARPNESS, "rho": 0.5}),
    "signsgd": OptimizerChoice(_published("signsgd"), 1e-3, {"momentum": 0.0, "weight_decay": 0.0}),
    "sophia": OptimizerChoice(
        _published("sophia"), 0.02,
        {"betas": (0.96, 0.99), "eps": 1e-12, "p": 1.0, **_HUTCHINSON, "update_period": 10},
    ),
    "spsa": OptimizerChoice(SPSA, 1e-3, {"c": 1e-3, "alpha": 0.0, "gamma": 0.0, "stability": 0.0}),
    "random-search": OptimizerChoice(RandomSearch, 0.1, {"adapt": True}, full_batch=True),
    "coordinate-descent": OptimizerChoice(
        CoordinateDescent, 0.1, {"block": 1, "rule": OneOf(("random", "cyclic", "greedy"))}
    ),
    "frank-wolfe": OptimizerChoice(
        FrankWolfe, 1.0, {"radius": 10.0, "norm": OneOf(("l2", "l1", "linf"))}, full_batch=True
    ),
    "line-search": OptimizerChoice(
        LineSearch, 1.0, {"c": 1e-4, "shrink": 0.5, "grow": 2.0, "most": 40}, full_batch=True
    ),
    "barzilai-borwein": OptimizerChoice(
        BarzilaiBorwein, 0.1, {"kind": OneOf(("long", "short", "diagonal")), "longest": 1e3, "mu": 1.0}, full_batch=True
    ),
    "hypergradient-sgd": OptimizerChoice(HypergradientSGD, 0.1, {"hyper_lr": 0.02, "rule": OneOf(RULES)}),
    "hypergradient-adam": OptimizerChoice(
        HypergradientAdam, 1e-3, {"hyper_lr": 0.02, "rule": OneOf(RULES), "betas": (0.9, 0.999), "eps": 1e-8}
    ),
    "extragradient": OptimizerChoice(Extragradient, 0.1, {}),
    "optimistic": OptimizerChoice(Optimistic, 0.1, {}),
    "quantized-sgd": OptimizerChoice(
        QuantizedSGD, 0.1, {"bits": 4, "stochastic": True, "scale": OneOf(("max", "l2"))}
    ),
    "private-sgd": OptimizerChoice(PrivateSGD, 0.1, {"clip": 1.0, "noise_multiplier": 1.0}),
    "delayed-sgd": OptimizerChoice(DelayedSGD, 0.05, {"delay": 4, "momentum": 0.0, "law": OneOf(LAWS)}),
    "local-sgd": OptimizerChoice(LocalSGD, 0.1, {"clients": 4, "period": 8, "skew": 0.0}, by_clients=True),
    "decentralized-sgd": OptimizerChoice(
        DecentralizedSGD, 0.1, {"clients": 8, "graph": OneOf(GRAPHS), "skew": 0.0}, by_clients=True
    ),
}  # fmt: skip
BY_CLIENTS = tuple(name for name, choice in OPTIMIZERS.items() if choice.by_clients)
FULL_BATCH = tuple(name for name, choice in OPTIMIZERS.items() if choice.full_batch)
LEARNING_RATES = {name: choice.lr for name, choice in OPTIMIZERS.items()}


def optimizer_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All options of an optimizer, defaults written out.

    Raises
    ------
    UsageError
        If the optimizer or an option is unknown, or an option has another type than its default.

    Examples
    --------
    >>> optimizer_options("momentum", {"momentum": 0.95})
    {'momentum': 0.95, 'weight_decay': 0.0, 'dampening': 0.0}
    """
    check_choice("optimizer", name, OPTIMIZERS)
    return with_defaults(f"optimizer {name!r}", OPTIMIZERS[name].options, options)


def make_optimizer(name: str, params: Iterable[torch.Tensor], *, lr: float, **options: Any) -> optim.Optimizer:
    """Build an optimizer of ``OPTIMIZERS`` on these parameters.

    Parameters
    ----------
    name : str
        ``"gd"`` is plain SGD; under that name the training takes the whole data set as one batch.
    lr : float
        Learning rate; ``LEARNING_RATES[name]`` is a fair first guess.
    options
        By the names that torch.optim, or the optimizer's own documentation, gives them, e.g. ``momentum=0.9``.

    Returns
    -------
    torch.optim.Optimizer
        To be stepped with a :class:`~landscape.optimizers.base.Closure`; those of torch.optim but L-BFGS also without.

    Raises
    ------
    UsageError
        If the name or an option is unknown, or a value is outside what the optimizer accepts.
    """
    full = optimizer_options(name, options)
    check_positive("lr", lr)
    choice = OPTIMIZERS[name]
    try:
        return choice.build(params, lr=lr, **full, **choice.fixed)
    except (ValueError, TypeError) as error:
        raise UsageError(f"optimizer {name!r} with lr={lr!r}, {full}: {error}") from error
