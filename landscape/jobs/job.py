"""A job and what became of it, both plain data, so that they pass to any process on any machine and back."""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from landscape import errors
from landscape.errors import ForeignError, LandscapeError, UsageError, as_ours, traceback_text


@dataclass(frozen=True)
class Job:
    """A function to be called somewhere.

    Attributes
    ----------
    name : str
        For progress and messages.
    function : str
        Where it is imported from, ``"package.module:function"``.
    args : tuple
        Plain data: text, numbers, bytes, and lists, tuples and dicts of them.
    threads : int or None
        Threads of torch while it runs, for with them the last digits change. None: as many as the process has.
    """

    name: str
    function: str
    args: tuple[Any, ...] = ()
    threads: int | None = None


@dataclass(frozen=True)
class Failure:
    """Why a job has no value.

    Attributes
    ----------
    reason : str
        One line.
    kind : {"raised", "died", "lost"}
        The function raised; the process died; or the executor did not take the job or gave no outcome back.
    error : str
        Name of the class in :mod:`landscape.errors` that says it best.
    traceback : str
        Of what code that is not ours raised; else empty.
    """

    reason: str
    kind: str = "raised"
    error: str = "LandscapeError"
    traceback: str = ""

    @classmethod
    def of(cls, raised: BaseException) -> Failure:
        """What a function raised; an interrupt is raised again."""
        ours = as_ours(raised)
        cause = ours.__cause__ if isinstance(ours, ForeignError) else None
        return cls(str(ours), error=type(ours).__name__, traceback="" if cause is None else traceback_text(cause))

    def as_error(self) -> LandscapeError:
        """An error to raise, whose cause shows the traceback."""
        found = getattr(errors, self.error, LandscapeError)
        is_plain = isinstance(found, type) and issubclass(found, LandscapeError) and found is not errors.NotConverged
        error: LandscapeError = found(self.reason) if is_plain else LandscapeError(self.reason)
        error.__cause__ = Elsewhere(self.traceback) if self.traceback else None
        return error


class Elsewhere(Exception):
    """An exception of another process, as its traceback."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


@dataclass(frozen=True)
class Outcome:
    """What became of a job: the value that its function returned, or why there is none."""

    name: str
    value: Any = None
    failure: Failure | None = None


def perform(job: Job) -> Outcome:
    """Do a job here; what its function raises is part of the outcome, and only an interrupt is raised.

    Jobs in threads of one process take turns: torch's random state, and the levels of its forward mode, belong to the
    whole process, so two of them would disturb each other's numbers.
    """
    with _one_at_a_time:
        try:
            function = function_at(job.function)
            with torch_threads(job.threads):
                return Outcome(job.name, function(*job.args))
        except BaseException as error:
            return Outcome(job.name, failure=Failure.of(error))


_one_at_a_time = threading.RLock()


def _renew_lock() -> None:
    """A process that is forked while a job runs here has a copy of the lock that nobody would ever release."""
    global _one_at_a_time
    _one_at_a_time = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """So many threads of torch, and afterwards as many as before; None leaves them alone."""
    if count is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def function_at(place: str) -> Callable[..., Any]:
    """The function that ``"package.module:function"`` names.

    Raises
    ------
    UsageError
        If there is none.
    """
    module, _, name = place.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"the function {place} of a job cannot be imported ({type(error).__name__}: {error}); install its package, "
            "in the same version, wherever jobs run"
        ) from error
    if not callable(found):
        raise UsageError(f"{place} is a {type(found).__name__}, not a function that a job could call")
    function: Callable[..., Any] = found
    return function


def place_of(function: Callable[..., Any]) -> str:
    """Where a function is imported from, as :func:`function_at` takes it.

    Raises
    ------
    UsageError
        If another process could not import it.
    """
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if not module or module == "__main__" or "<" in name or not name:
        raise UsageError(
            f"{function!r} cannot be imported by another process: it is not at the top of a module, or in the script "
            "that was started; move it into a module of its own"
        )
    return f"{module}:{name}"
