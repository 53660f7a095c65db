"""Work in other processes: named by plain data, handed to an executor, its outcomes plain data again.

``run(jobs, executor)`` takes anything with ``submit(function, *args)`` that returns a future: the
:class:`LocalExecutor` of this room, those of ``concurrent.futures``, a Dask client, submitit. What a job raises, and a
process that dies under it, is the outcome of that job alone.
"""

from landscape.jobs.exit_reasons import Advice
from landscape.jobs.job import Failure, Job, Outcome, perform
from landscape.jobs.local import LocalExecutor, ProcessDied, ThisProcess, available_cores
from landscape.jobs.progress import Reporter, current_reporter
from landscape.jobs.running import Executor, check_executor, run

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
    "available_cores",
    "check_executor",
    "current_reporter",
    "perform",
    "run",
]
