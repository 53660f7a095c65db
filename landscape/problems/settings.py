"""The settings of a training run: what was asked for, and the problem's recipe for the rest."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from landscape.errors import UsageError, check_positive, check_seed
from landscape.optimizers import FULL_BATCH, LEARNING_RATES, optimizer_options, schedule_options
from landscape.problems.base import Problem

# They say which files are written, not where the parameters go.
HARMLESS = {"save_every", "save_last", "threads"}


def training_settings(problem: Problem, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that determines a run, as JSON.

    Parameters
    ----------
    asked : mapping
        Any of ``optimizer``, ``lr``, ``options``, ``schedule``, ``schedule_options``, ``batch_size``, ``epochs``,
        ``seed``, ``save_every`` (steps), ``save_last`` (steps), ``threads``. None, or left out: as the recipe says.

    Raises
    ------
    UsageError
        If a setting is unknown or a value is outside what it accepts.
    """
    asked = {key: value for key, value in asked.items() if value is not None}
    recipe, num_examples = problem.recipe, len(problem.train[1])
    name, schedule = asked.pop("optimizer", recipe.optimizer), asked.pop("schedule", "constant")
    options = optimizer_options(name, asked.pop("options", None))
    full_batch = name in FULL_BATCH
    batch_size = asked.pop("batch_size", num_examples if full_batch else recipe.batch_size)
    check_positive("batch_size", batch_size)
    if full_batch and batch_size != num_examples:
        raise UsageError(f"{name} takes all {num_examples} examples as one batch; leave the batch size out, or use sgd")
    batch_size = min(batch_size, num_examples)
    epochs = asked.pop("epochs", recipe.full_batch_epochs if full_batch else recipe.epochs)
    check_positive("epochs", epochs)
    # An epoch of a full-batch optimizer is one step; saving each of them would cost more than the training.
    save_every = max(1, epochs // recipe.epochs) if full_batch else math.ceil(num_examples / batch_size)
    settings = {
        "problem": problem.name,
        "problem_config": problem.config,
        "optimizer": name,
        "lr": asked.pop("lr", recipe.learning_rates.get(name, LEARNING_RATES[name])),
        "options": options,
        "schedule": schedule,
        "schedule_options": schedule_options(schedule, asked.pop("schedule_options", None)),
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": asked.pop("seed", 0),
        "save_every": asked.pop("save_every", save_every),
        "save_last": asked.pop("save_last", 0),
        "threads": asked.pop("threads", None),
    }
    if asked:
        raise UsageError(f"unknown setting {', '.join(map(repr, asked))}; there are {', '.join(settings)}")
    check_seed(settings["seed"])
    check_positive("save_every", settings["save_every"])
    if settings["save_last"]:
        check_positive("save_last", settings["save_last"])
    return json.loads(json.dumps(settings))


def resumed_settings(problem: Problem, asked: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run that goes on: as stored, but more epochs, other saving and threads may be asked for.

    Raises
    ------
    UsageError
        If something else is asked for that would have given another run, naming it.
    """
    if not {"optimizer", "lr", "epochs", "seed"} <= stored.keys():
        raise UsageError("the checkpoint does not say how it was trained; it was not saved by scripts/train.py")
    known = {key: value for key, value in stored.items() if key not in ("problem", "problem_config")}
    wanted = training_settings(problem, known | {key: value for key, value in asked.items() if value is not None})
    # A constant schedule takes the same steps first, however long it goes on.
    longer = {"epochs"} if wanted["schedule"] == "constant" and wanted["epochs"] >= stored["epochs"] else set()
    changed = [key for key in wanted.keys() - HARMLESS - longer if wanted[key] != stored.get(key)]
    if changed:
        said = "; ".join(f"{key} was {stored.get(key)!r}, asked for is {wanted[key]!r}" for key in sorted(changed))
        raise UsageError(f"a resumed run keeps its settings, but {said}. Leave it out, or train into another folder")
    return wanted
