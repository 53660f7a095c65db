"""What is drawn on a plane: the loss, the accuracy, the norm of the gradient, or a function that a person named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from landscape.errors import UsageError
from landscape.geometry import accuracy, gradient_norm
from landscape.problems import Problem
from landscape.problems.importing import folders_for, object_named

READY = ("loss", "accuracy", "gradient_norm")


@dataclass(frozen=True)
class Drawn:
    """A metric and what it is called.

    Attributes
    ----------
    name : str
    function : callable or None
        None for the loss.
    identity : str
        Equal for equal functions, as far as that can be seen: of one from a file it has the hash of that file.
    """

    name: str
    function: Callable[[Any, Any], Any] | None
    identity: str

    @property
    def metrics(self) -> dict[str, Any]:
        """For ``metrics=`` of a slice."""
        return {} if self.function is None else {self.name: self.function}

    def panels(self, on: str) -> list[str | None]:
        """What is drawn side by side: None is the loss of the slice."""
        own: str | None = None if self.function is None else self.name
        other = "test loss" if self.function is None else f"test {self.name}"
        return [own, other] if on == "both" else [own]


def metric_named(metric: str, problem: Problem, beside: Path) -> Drawn:
    """By one of the names that are ready, or ``pkg.mod:FUNCTION`` as a person typed it.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    if metric == "loss":
        return Drawn("loss", None, "loss")
    if metric == "gradient_norm":
        return Drawn("gradient norm", gradient_norm, "gradient_norm")
    if metric == "accuracy":
        return Drawn("accuracy", _accuracy(problem), "accuracy")
    if ":" not in metric:
        raise UsageError(f"metric={metric!r} is not one of {', '.join(READY)}, nor such as 'pkg.mod:FUNCTION'")
    found, file = object_named(metric, folders_for(metric, beside), what="metric")
    if not callable(found):
        raise UsageError(f"metric {metric!r} is a {type(found).__name__}; it must be a function of outputs and targets")
    content = Path(file).read_bytes() if Path(file).is_file() else b""
    return Drawn(metric.rpartition(":")[2], found, f"{metric} {hashlib.sha256(content).hexdigest()}")


def _accuracy(problem: Problem) -> Callable[[Any, Any], Any]:
    """Of a problem whose batches only it can read, through its ``targets``."""
    targets = problem.targets
    if targets is None:
        return accuracy
    return partial(_accuracy_of, targets)


def _accuracy_of(targets: Callable[[Any], Any], outputs: Any, batch: Any) -> Any:
    return accuracy(outputs, targets(batch))
