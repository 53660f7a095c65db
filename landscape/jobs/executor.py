"""What an executor is, and what those of this room can do beside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from landscape.errors import LandscapeError, UsageError


class Executor(Protocol):
    """Whatever makes calls somewhere: of this room, of ``concurrent.futures``, a Dask client, submitit.

    A future has ``result()`` and ``done()``; where it has ``add_done_callback`` too, nobody needs to ask it.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Any:
        """Have a function called; its future."""


class Stoppable:
    """An executor of this room: what it was given can be ended at once."""

    def kill(self) -> None:
        """End all calls that it was given, begun or not, as far as that is possible where they are made."""
        raise NotImplementedError


@runtime_checkable
class Limited(Protocol):
    """An executor that wants to have no more than so many calls at a time; None: as many as there are."""

    at_once: int | None


@runtime_checkable
class Wide(Protocol):
    """An executor that knows how many calls it makes side by side."""

    def width(self) -> int:
        """At this moment; 0 where nobody works yet."""


class ProcessDied(LandscapeError):
    """The process of a job ended before the job did."""


class Abandoned(ProcessDied):
    """An executor has tried a job in several processes, or can make no more calls: it need not be tried again."""


def check_executor(executor: object) -> None:
    """Refuse what is no executor.

    Raises
    ------
    UsageError
    """
    if not callable(getattr(executor, "submit", None)):
        raise UsageError(
            f"executor={executor!r} has no submit(function, *args) that returns a future; pass such as "
            "concurrent.futures.ProcessPoolExecutor() or a dask.distributed.Client, or name one: 'local', "
            "'dask:ADDRESS' or 'slurm:partition=NAME,time=2h'"
        )
