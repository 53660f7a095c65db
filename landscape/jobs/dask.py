"""Jobs through a Dask scheduler. The one file that imports Dask's ``distributed``."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import threading
import time
import uuid
import warnings
import weakref
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError, UsageError
from landscape.jobs.children import call_in_child
from landscape.jobs.executor import Abandoned, ProcessDied, Stoppable
from landscape.jobs.settings import seconds_in, settings_of

try:
    import distributed
except ImportError:
    raise UsageError(
        "executor='dask:…' needs Dask's distributed, which is not installed: pip install 'landscape-curvature[cluster]'"
    ) from None

KNOWN = ("wait",)
_ADDRESS = re.compile(r"(?:[a-z]+://)?[^/\s]+:\d+/?")
#: Seconds: for the scheduler to answer, when it is looked for and when it is gone; between two looks at its workers;
#: how long there may be none, as while nodes start.
ANSWER, LOOK_EVERY, WAIT = 10.0, 5.0, 300.0


class DaskExecutor(Stoppable):
    """Has calls made by the workers of a Dask scheduler, in a process below each.

    So a call that crashes leaves the worker alive, and says why. Where a worker dies itself,
    Dask has its calls made by others, ``allowed-failures`` times (3, unless the scheduler is told otherwise). Each call
    is made anew, where Dask would give back what it remembers of an equal one.

    Parameters
    ----------
    client : distributed.Client
        It is not closed.
    wait : float
        Seconds for which there may be no worker.
    """

    def __init__(self, client: Any, *, wait: float = WAIT) -> None:
        self._client, self._wait = client, wait
        self._open: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._looked = self._seen = time.monotonic()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> DaskFuture:
        """Have a function called; where the scheduler is gone, this raises."""
        if self._client.status not in ("running", "connecting"):
            raise LandscapeError(self.why_it_is_gone())
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="(?s).*large graph")  # a job may carry checkpoints
            future = self._client.submit(
                call_in_child, function, *args, key=f"landscape-{uuid.uuid4().hex}", pure=False
            )
        self._open.add(future)
        return DaskFuture(self, future)

    def kill(self) -> None:
        """Have no more calls begun; those that are being made go on, for no worker can be made to drop one."""
        with contextlib.suppress(Exception):
            if self._client.status == "running":
                self._client.cancel(list(self._open), force=True)

    def width(self) -> int:
        """Threads of all workers."""
        with contextlib.suppress(Exception):  # of a scheduler that goes away just now
            return sum(self._client.nthreads().values())
        return 0

    @property
    def is_connected(self) -> bool:
        """Whether the scheduler answers, as far as this side knows."""
        return bool(self._client.status == "running")

    @property
    def has_waited_in_vain(self) -> bool:
        """Whether there has been no worker for as long as one may wait."""
        with self._lock:
            now = time.monotonic()
            if self.is_connected and now - self._looked > LOOK_EVERY:
                self._looked = now
                with contextlib.suppress(Exception):  # of a scheduler that goes away just now
                    if self._client.scheduler_info()["workers"]:
                        self._seen = now
            return self._looked - self._seen > self._wait

    def why_it_is_gone(self) -> str:
        """One line about a scheduler that answers no more."""
        return (
            f"the Dask scheduler at {_address_of(self._client)} went away, and did not answer again within "
            f"{ANSWER:g} s; start it again, and its workers"
        )

    def why_nobody_works(self) -> str:
        """One line about a scheduler without workers."""
        address = _address_of(self._client)
        return (
            f"the Dask scheduler at {address} has had no worker for {self._wait:g} s; start some: dask worker "
            f"{address} --nworkers 2 --nthreads 1; wait=1h in the name of the executor waits longer"
        )


@dataclass(frozen=True, eq=False)
class DaskFuture:
    """A call that a Dask worker makes."""

    executor: DaskExecutor
    future: Any

    def done(self) -> bool:
        """Whether there is a result, or will be none."""
        return bool(self.future.done()) or self.executor.has_waited_in_vain

    def add_done_callback(self, function: Callable[[Any], None]) -> None:
        """Have a function called when it is done."""
        self.future.add_done_callback(function)

    def cancel(self) -> None:
        """Not begun, it is not to begin."""
        self.future.cancel()

    def result(self) -> Any:
        """What the function returned.

        Raises
        ------
        ProcessDied
            If the worker died, the scheduler went away, or there is nobody who works.
        """
        if not self.future.done():
            raise Abandoned(self.executor.why_nobody_works())
        try:
            return self.future.result()
        except distributed.KilledWorker as error:
            deaths = int(getattr(error, "allowed_failures", 3)) + 1
            raise ProcessDied(
                f"{deaths} Dask workers that had it died in turn (the last was {_last_of(error)}), as they do where "
                "memory runs out; give them more of it"
            ) from None
        except (futures.CancelledError, TimeoutError, OSError) as error:
            if not self.executor.is_connected:
                raise ProcessDied(self.executor.why_it_is_gone()) from None
            raise ProcessDied(f"Dask lost it: {_said(error)}") from None


@contextmanager
def connected(text: str) -> Iterator[DaskExecutor]:
    """An executor by the scheduler at ``ADDRESS[,wait=TIME]``, whose connection ends with this block.

    Raises
    ------
    UsageError
        For a text that is no address, or a scheduler file that is not there.
    LandscapeError
        If no scheduler answers.
    """
    address, _, rest = text.partition(",")
    given = settings_of(rest, KNOWN, of="dask")
    wait = seconds_in(given["wait"]) if "wait" in given else WAIT
    if wait is None:
        raise UsageError(f"executor='dask:…': wait={given['wait']!r} must be a time, such as 90s, 10m or 2h")
    with _quiet():
        client = _client_at(address.strip())
        try:
            yield DaskExecutor(client, wait=wait)
        finally:
            with contextlib.suppress(Exception):
                client.close(timeout=ANSWER)


def _client_at(address: str) -> Any:
    try:
        address = _in_file(address) if _is_file(address) else address
        _greet(address)
        return distributed.Client(address, timeout=ANSWER, set_as_default=False)
    except OSError as error:
        raise LandscapeError(
            f"no Dask scheduler answers at {address} within {ANSWER:g} s ({_said(error)}); start one with dask "
            "scheduler, and give the address that it prints"
        ) from None
    except LandscapeError:
        raise
    except Exception as error:  # an answer that is none of a scheduler
        raise LandscapeError(f"what answers at {address} is no Dask scheduler ({_said(error)})") from error


def _greet(address: str) -> None:
    """Ask who is there, with a time limit; a client waits for ever for the first word of one who takes its call.

    Raises
    ------
    OSError
        If nobody answers.
    """
    outcome: list[BaseException | None] = []

    async def asked() -> None:
        how = distributed.Security().get_connection_args("client")
        async with distributed.rpc(address, timeout=ANSWER, connection_args=how) as scheduler:
            found = await asyncio.wait_for(scheduler.identity(), ANSWER)
        if found.get("type") != "Scheduler":
            raise ValueError(f"it says that it is a {found.get('type')}")

    def ask() -> None:
        try:
            asyncio.run(asyncio.wait_for(asked(), ANSWER))
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)  # of its own: a notebook has a loop that runs already
    thread.start()
    thread.join(ANSWER + 1)
    error = outcome[0] if outcome else TimeoutError()
    if error is not None:
        raise error


def _in_file(file: str) -> str:
    try:
        return str(json.loads(Path(file).read_text())["address"])
    except (ValueError, LookupError, TypeError, UnicodeDecodeError):
        raise UsageError(f"executor='dask:{file}': {file} is no scheduler file; dask scheduler --scheduler-file "
                         f"{file} writes one") from None  # fmt: skip


def _is_file(text: str) -> bool:
    """Whether a scheduler file is named, and not an address."""
    if "://" not in text and (text.endswith(".json") or Path(text).is_file()):
        if Path(text).is_file():
            return True
        raise UsageError(
            f"executor='dask:{text}': there is no scheduler file {text}; dask scheduler --scheduler-file {text} "
            "writes it"
        )
    if _ADDRESS.fullmatch(text) is None:
        raise UsageError(
            f"executor='dask:{text}' names no scheduler; write its address with the port, as in "
            "dask:tcp://10.0.0.1:8786, or its scheduler file"
        )
    return False


@contextmanager
def _quiet() -> Iterator[None]:
    """Dask reports on stderr what is raised here anyway, or that a worker died, which the outcome of a job says."""
    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] in ("distributed", "tornado")]
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def _address_of(client: Any) -> str:
    return str(getattr(getattr(client, "scheduler", None), "address", "") or "its address")


def _last_of(error: Any) -> str:
    return str(getattr(getattr(error, "last_worker", None), "address", "unknown"))


def _said(error: BaseException) -> str:
    said = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
