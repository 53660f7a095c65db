"""Training data, test data or both: whose loss a slice draws, and what stands beside it at the same points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.geometry.endpoints import constants_of
from landscape.geometry.metrics import Metric, Metrics, check_same_parameters, named_metrics
from landscape.objective import Objective

SPLITS = ("train", "test", "both")


@dataclass(frozen=True)
class Asked:
    """What is drawn.

    Attributes
    ----------
    drawn : Objective
        Whose loss it is.
    metrics : dict
        What is evaluated beside it.
    split : str
        ``"train"`` or ``"test"``, what the loss is of.
    """

    drawn: Objective
    metrics: dict[str, Metric]
    split: str

    def holding(self, holding_at: Callable[[Any], Objective]) -> Callable[[Any], Objective]:
        """The same for what is drawn: buffers are those that belong to θ by the training data, also for test data."""
        if self.split == "train":
            return holding_at
        return partial(_with_those_of, self.drawn, holding_at)


def _with_those_of(drawn: Objective, holding_at: Callable[[Any], Objective], theta: Any) -> Objective:
    return drawn.with_constants(constants_of(holding_at(theta)))


def asked_on(objective: Objective, on: str | None, test: Objective | None, metrics: Metrics) -> Asked:
    """What ``on=``, ``test=`` and ``metrics=`` of a slice ask for.

    Raises
    ------
    UsageError
        If test data are asked for and not given, or are of other parameters.
    """
    on = ("train" if test is None else "both") if on is None else on
    check_choice("on", on, SPLITS)
    named = named_metrics(metrics)
    if test is None:
        if on != "train":
            raise UsageError(
                f"on={on!r} needs the test data: an Objective knows its own alone. Pass test=, an Objective of the "
                "same model and loss on the test data"
            )
        return Asked(objective, named, "train")
    if not isinstance(test, Objective):
        raise UsageError(f"test must be an Objective on the test data, not a {type(test).__name__}")
    if on == "train":
        raise UsageError("on='train' leaves no use for test=; leave one of the two out")
    check_same_parameters("test", test, objective)
    if on == "test":
        return Asked(test, named, "test")
    both: dict[str, Metric] = {"test loss": test}
    for name, metric in named.items():
        both[name] = metric
        if not isinstance(metric, (Objective, tuple)):
            both[f"test {name}"] = (metric, test)
    return Asked(objective, both, "train")
