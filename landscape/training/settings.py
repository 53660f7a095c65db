"""The settings of a training run: what was asked for, and the problem's recipe for the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from landscape.checks import check_choice, check_count, check_positive, check_seed, plain_number
from landscape.errors import UsageError
from landscape.optimizers import BY_CLIENTS, FULL_BATCH, LEARNING_RATES, optimizer_options, schedule_options
from landscape.optimizers.options import with_defaults
from landscape.problems.adversary import ADVERSARIES
from landscape.problems.base import Problem
from landscape.training.falling import LEAST_FALL
from landscape.training.order import BATCH_SCHEDULES, ORDERS

# They say which files are written, not where the parameters go.
HARMLESS = {"save_every", "save_last", "save_losses", "threads"}


def training_settings(problem: Problem, requested: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that determines a run, as JSON.

    Parameters
    ----------
    requested : mapping
        Any of ``label`` (names the group of replicates; left out, the optimizer), ``optimizer``, ``lr``, ``options``,
        ``schedule``, ``schedule_options``, ``batch_size``, ``order``,
        ``order_options``, ``batch_schedule``, ``batch_schedule_options``, ``adversary`` (``"linf"`` or ``"l2"``: each
        gradient is that of the loss at inputs moved against it, :func:`landscape.problems.adversary.attacked`),
        ``adversary_options``, ``epochs``, ``seed``, ``init_seed`` and
        ``order_seed`` (of the initial weights and of the order of the data; left out, the seed), ``save_every``
        (steps), ``save_last`` (steps), ``save_losses`` (a factor such as 1.25: also whenever the loss has fallen by it,
        see :class:`landscape.training.falling.FallingLoss`; 0: not), ``threads``. None, or left out: as the recipe
        says.

    Raises
    ------
    UsageError
        If a setting is unknown or a value is outside what it accepts.
    """
    requested = {key: value for key, value in requested.items() if value is not None}
    recipe, num_examples = problem.recipe, problem.num_examples
    name = requested.pop("optimizer", recipe.optimizer)
    options = optimizer_options(name, requested.pop("options", None))
    batch_size = _batch_size(name, requested, num_examples, recipe.batch_size)
    full_batch = name in FULL_BATCH and batch_size == num_examples
    epochs = requested.pop("epochs", recipe.full_batch_epochs if full_batch else recipe.epochs)
    check_count("epochs", epochs)
    # An epoch of a full-batch optimizer is one step; saving each of them would cost more than the training.
    save_every = max(1, epochs // recipe.epochs) if full_batch else math.ceil(num_examples / batch_size)
    schedule = requested.pop("schedule", "constant")
    settings = {
        "problem": problem.name,
        "problem_config": problem.config,
        "label": requested.pop("label", name),
        "optimizer": name,
        "lr": requested.pop("lr", recipe.learning_rates.get(name, LEARNING_RATES[name])),
        "options": options,
        "schedule": schedule,
        "schedule_options": schedule_options(schedule, requested.pop("schedule_options", None)),
        "batch_size": batch_size,
        **_order(requested),
        **_adversary(requested),
        "epochs": epochs,
        "seed": requested.pop("seed", 0),
        "init_seed": requested.pop("init_seed", None),
        "order_seed": requested.pop("order_seed", None),
        "save_every": requested.pop("save_every", save_every),
        "save_last": requested.pop("save_last", 0),
        "save_losses": requested.pop("save_losses", 0),
        "threads": requested.pop("threads", None),
    }
    if requested:
        raise UsageError(f"unknown setting {', '.join(map(repr, requested))}; there are {', '.join(settings)}")
    _check(settings)
    plain: dict[str, Any] = json.loads(json.dumps(settings, default=plain_number))
    return plain


def _batch_size(name: str, requested: dict[str, Any], num_examples: int, usual: int) -> int:
    batch_size: int = requested.pop("batch_size", num_examples if name in FULL_BATCH else usual)
    check_count("batch_size", batch_size)
    if name == "gd" and batch_size != num_examples:
        raise UsageError(f"gd takes all {num_examples} examples as one batch; leave the batch size out, or use sgd")
    return min(batch_size, num_examples)


def _order(requested: dict[str, Any]) -> dict[str, Any]:
    """How the examples are ordered, and how the size of the batch changes."""
    settings: dict[str, Any] = {}
    for key, choices, default in (("order", ORDERS, "shuffled"), ("batch_schedule", BATCH_SCHEDULES, "constant")):
        name = requested.pop(key, default)
        check_choice(key, name, choices)
        settings[key] = name
        settings[f"{key}_options"] = with_defaults(
            f"{key.replace('_', ' ')} {name!r}", choices[name], requested.pop(f"{key}_options", None)
        )
    return settings


def _adversary(requested: dict[str, Any]) -> dict[str, Any]:
    """How inputs are moved before each gradient; None twice where they are not."""
    norm, options = requested.pop("adversary", None), requested.pop("adversary_options", None)
    if norm is None and options:
        raise UsageError(f"adversary_options={options!r} need an adversary, such as adversary='linf'")
    if norm is not None:
        check_choice("adversary", norm, ADVERSARIES)
        options = with_defaults(f"adversary {norm!r}", ADVERSARIES[norm], options)
        check_positive("radius", options["radius"])
        check_count("steps", options["steps"])
    return {"adversary": norm, "adversary_options": options or None}


def _check(settings: Mapping[str, Any]) -> None:
    check_seed(settings["seed"])
    for key in ("init_seed", "order_seed"):
        if settings[key] is not None:
            check_seed(settings[key], name=key)
    check_count("save_every", settings["save_every"])
    if settings["save_last"]:
        check_count("save_last", settings["save_last"])
    if settings["save_losses"]:
        factor = check_positive("save_losses", settings["save_losses"])
        if not LEAST_FALL <= factor < math.inf:
            raise UsageError(
                f"save_losses={factor:g} must be a factor of at least {LEAST_FALL:g} by which the loss falls from one "
                "checkpoint to the next, such as 1.25, or 0"
            )
    for key, value in {**settings["order_options"], **settings["batch_schedule_options"]}.items():
        if not value > 0 or (key in ("start", "full_by") and value > 1):
            raise UsageError(f"{key}={value!r} must be positive{'' if key == 'factor' else ' and at most 1'}")
    if (name := settings["optimizer"]) in BY_CLIENTS:
        for key, plain in (("order", "shuffled"), ("batch_schedule", "constant")):
            if settings[key] != plain:
                raise UsageError(f"{name} deals the examples out to its clients itself; leave {key} out")


def resumed_settings(problem: Problem, requested: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that goes on: as stored, but more epochs, other saving and threads may be asked for.

    Raises
    ------
    UsageError
        If something else is asked for that would have given another run, naming it.
    """
    if not {"optimizer", "lr", "epochs", "seed"} <= stored.keys():
        raise UsageError("the checkpoint does not say how it was trained; it was not saved by scripts/train.py")
    known = {key: value for key, value in stored.items() if key not in ("problem", "problem_config")}
    wanted = training_settings(problem, known | {key: value for key, value in requested.items() if value is not None})
    # What does not change with the length of the run takes the same steps first, however long it goes on.
    steady = (
        wanted["schedule"] == "constant"
        and wanted["batch_schedule"] == "constant"
        and wanted["order"] not in ("curriculum", "blocks")
    )
    longer = {"epochs"} if steady and wanted["epochs"] >= stored["epochs"] else set()
    changed = [key for key in wanted.keys() - HARMLESS - longer if wanted[key] != stored.get(key)]
    if changed:
        changes = "; ".join(f"{key} was {stored.get(key)!r}, asked for is {wanted[key]!r}" for key in sorted(changed))
        raise UsageError(f"a resumed run keeps its settings, but {changes}. Leave it out, or train into another folder")
    return wanted
