"""The errors landscape raises. Each message says what was wrong with which value, what was expected, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class LandscapeError(Exception):
    """Base of every error of this package."""


class UsageError(LandscapeError, ValueError):
    """An argument is outside what the function accepts."""


class ObjectiveError(LandscapeError):
    """Model, loss and data do not form a well-posed objective."""


class ModelError(ObjectiveError, RuntimeError):
    """The caller's model or loss raised an error of its own when it was called; that error is the cause."""

    @classmethod
    def of(cls, error: Exception) -> ModelError:
        """What was raised, in one line, and where in the caller's code."""
        text = (str(error).strip().splitlines() or [""])[0]
        place = raised_at(error)
        hint = ""
        if "dtype" in text or "same device" in text:
            hint = ". Tensors that a model or loss brings along must follow those it is given: constant.to(output)"
        return cls(f"the model or loss raised {type(error).__name__}: {text}{f' ({place})' if place else ''}{hint}")


class CheckpointError(LandscapeError):
    """A checkpoint file or folder cannot be used."""


class ResultsError(LandscapeError):
    """A results file cannot be used."""


class NotConverged(LandscapeError):
    """An iteration ended before its residuals were small enough.

    Attributes
    ----------
    partial : Record
        What was computed until then, with the true residuals reached.
    """

    def __init__(self, message: str, partial: Any) -> None:
        super().__init__(message)
        self.partial = partial


def raised_at(error: BaseException) -> str:
    """``file:line`` of the innermost frame that is neither torch's nor ours; empty where there is none."""
    place, frame = "", error.__traceback__
    while frame is not None:
        name = frame.tb_frame.f_globals.get("__name__") or ""
        if name.split(".")[0] not in ("torch", "landscape", "contextlib", "functools"):
            place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch found no memory; on a CPU it raises a plain RuntimeError, known by its text alone."""
    return type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)


def check_choice(name: str, value: object, choices: Iterable[object]) -> None:
    """Refuse a value outside a fixed set of choices, naming the set."""
    allowed = list(choices)
    if value not in allowed:
        raise UsageError(f"{name}={value!r} is not one of {', '.join(repr(c) for c in allowed)}")


def check_positive(name: str, value: int) -> None:
    """Refuse a count below one."""
    if int(value) != value or value < 1:
        raise UsageError(f"{name}={value!r} must be a whole number of at least 1")


def check_seed(seed: object) -> None:
    """Refuse a missing seed: a number that cannot be drawn again is not a result."""
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise UsageError(f"seed={seed!r} is not an integer; results store their seed, to be repeatable")
