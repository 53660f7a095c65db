"""Training without checkpoints, for facts about where it ends."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from torch import nn

from landscape.problems import Problem
from landscape.problems.metrics import evaluate
from landscape.training import Training, training_settings

#: ``watch(step, model)``
Watch = Callable[[int, nn.Module], None]
NEAR = 3.0


class NotReached(RuntimeError):
    """The training loss asked for was not met within the epochs given."""


def started_at(problem: Problem, model: nn.Module) -> Problem:
    """The same problem, whose training starts from the weights of this model instead of those of its seed."""
    return replace(problem, build=lambda: copy.deepcopy(model))


def trained(
    problem: Problem,
    *,
    until: float | None = None,
    look_every: int | None = None,
    watch: Watch | None = None,
    **asked: Any,
) -> nn.Module:
    """A model trained as ``asked`` (see :func:`landscape.training.training_settings`), in eval mode.

    Parameters
    ----------
    until : float, optional
        Stop where the loss over the training data is first seen to be at most this: then two ways to train can be
        compared at equal loss.
    look_every : int, optional
        Steps between two looks at that loss, left out those of an epoch. A look costs a gradient over all data, so none
        is taken before the batches of the last epoch average below ``NEAR`` times ``until``.
    watch : callable, optional
        Called after every step, and before the first with step 0.

    Raises
    ------
    NotReached
        If ``until`` is not met in time.
    landscape.training.Diverged
        If the loss is no longer finite.
    """
    settings = training_settings(problem, asked)
    run = Training(problem, settings, Path())
    per_epoch = -(-len(problem.train[1]) // settings["batch_size"])
    loss = float("inf")
    with run.seeded():
        if watch is not None:
            watch(0, run.model)
        while run.step < run.total_steps:
            run.advance()
            if watch is not None:
                watch(run.step, run.model)
            recent = run.history["loss"][-per_epoch:]
            if until is not None and run.step % (look_every or per_epoch) == 0 and fmean(recent) < NEAR * until:
                loss = evaluate(problem, run.model, start=run.start)["train_loss"]
                if loss <= until:
                    return run.model.eval()
    if until is not None:
        raise NotReached(
            f"{settings['label']}, seed {settings['seed']}: training loss {loss:.3g} after {settings['epochs']} "
            f"epochs at lr {settings['lr']:g}; {until:g} was asked for"
        )
    return run.model.eval()
