"""Work in other processes: named by plain data, handed to an executor, its outcomes plain data again.

``run(jobs, executor)`` takes anything with ``submit(function, *args)`` that returns a future: the
:class:`LocalExecutor` of this room, those of ``concurrent.futures``, a Dask client, submitit. What a job raises, and a
process that dies under it, is the outcome of that job alone. :func:`opened_executor` makes one of a name, such as
``"dask:tcp://10.0.0.1:8786"``.
"""

from landscape.jobs.executor import Executor, ProcessDied, Wide, check_executor
from landscape.jobs.exit_reasons import Advice
from landscape.jobs.job import Failure, Job, Outcome, perform
from landscape.jobs.local import LocalExecutor, ThisProcess, available_cores
from landscape.jobs.named import opened_executor
from landscape.jobs.progress import Reporter, current_reporter
from landscape.jobs.running import run

__all__ = [
    "Advice",
    "Executor",
    "Failure",
    "Job",
    "LocalExecutor",
    "Outcome",
    "ProcessDied",
    "Reporter",
    "ThisProcess",
    "Wide",
    "available_cores",
    "check_executor",
    "current_reporter",
    "opened_executor",
    "perform",
    "run",
]
