"""Executors by name: ``local``, ``dask:ADDRESS``, ``slurm:partition=…,time=…``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from landscape.errors import UsageError
from landscape.jobs.executor import Executor, check_executor


@contextmanager
def opened_executor(executor: Executor | str | None) -> Iterator[Executor | None]:
    """The executor that a text names, open in this block; any other as it is, and it stays open.

    Parameters
    ----------
    executor : str or Executor or None
        - ``"local"``, as None: whatever is usual on this machine.
        - ``"dask:ADDRESS"``: the Dask scheduler at an address such as ``tcp://10.0.0.1:8786``, or in a scheduler file;
          ``"dask:ADDRESS,wait=1h"`` waits that long for a worker, where there is none; left out, five minutes.
        - ``"slurm:partition=NAME,time=2h"``: a Slurm job for each. Other settings: :data:`~landscape.jobs.slurm.KNOWN`.
        - Anything with ``submit``. Clients of Dask and executors of submitit get what those by name have.

    Yields
    ------
    Executor or None
        None where jobs are to be done as is usual on this machine.

    Raises
    ------
    UsageError
        For a name that is unknown, settings that are none, a library that is not installed.
    LandscapeError
        If nothing answers at the address within seconds, or Slurm is not there.

    Examples
    --------
    >>> with opened_executor("local") as executor:
    ...     print(executor)
    None
    >>> with opened_executor("pbs:queue=long") as executor:
    ...     pass
    Traceback (most recent call last):
    landscape.errors.UsageError: executor='pbs:queue=long' is none of 'local', 'dask:ADDRESS' and
    'slurm:partition=NAME,time=2h', nor an object with submit(function, *args) that returns a future
    """
    if isinstance(executor, str):
        with _by_name(executor) as made:
            yield made
        return
    if executor is None:
        yield None
        return
    check_executor(executor)
    library = type(executor).__module__.partition(".")[0]
    if library == "distributed":
        from landscape.jobs.dask import DaskExecutor

        yield DaskExecutor(executor)
    elif library == "submitit":
        from landscape.jobs.slurm import SlurmExecutor

        yield SlurmExecutor(executor)
    else:
        yield executor


@contextmanager
def _by_name(text: str) -> Iterator[Executor | None]:
    name, _, rest = text.strip().partition(":")
    if name == "local":
        if rest:
            raise UsageError(f"executor={text!r}: local has no settings; workers says how many processes there are")
        yield None
    elif name == "dask":
        from landscape.jobs.dask import connected

        with connected(rest.strip()) as executor:
            yield executor
    elif name == "slurm":
        from landscape.jobs.slurm import submitting

        with submitting(rest.strip()) as slurm:
            yield slurm
    else:
        raise UsageError(
            f"executor={text!r} is none of 'local', 'dask:ADDRESS' and 'slurm:partition=NAME,time=2h', nor an object "
            "with submit(function, *args) that returns a future"
        )
