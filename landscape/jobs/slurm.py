"""Jobs through Slurm. The one file that imports submitit."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import LandscapeError, UsageError
from landscape.jobs.executor import ProcessDied, Stoppable
from landscape.jobs.settings import settings_of, slurm_minutes

try:
    import submitit
    from submitit.core.utils import FailedJobError, UncompletedJobError
except ImportError:
    raise UsageError(
        "executor='slurm:…' needs submitit, which is not installed: pip install 'landscape-curvature[cluster]'"
    ) from None

#: Setting → option of sbatch; those with their own meaning are read below.
OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "mem": "mem", "cpus": "cpus-per-task",
    "gpus": "gpus-per-node", "gres": "gres", "constraint": "constraint", "exclude": "exclude", "nodelist": "nodelist",
    "reservation": "reservation", "nice": "nice",
}  # fmt: skip
#: ``time``: of a job; ``jobs``: in the queue at once; ``folder``: for what submitit writes; ``setup``: a line of shell
#: before each; ``cluster=local``: the same in processes of this machine, to try it out.
KNOWN = (*OPTIONS, "time", "jobs", "folder", "setup", "cluster")
#: Minutes, where none are given. Seconds between two looks into the queue.
TIME, LOOK_EVERY = 60, 60.0
FOLDER = "slurm-jobs"
_PACKAGES = Path(__file__).parents[2]
_NUMBERS = ("cpus", "gpus", "jobs")
#: What Slurm says of a job that did not end by itself → what helps.
_HELP = {
    "TIMEOUT": "it took longer than time=…; what it stored is kept",
    "OUT_OF_MEMORY": "it needed more than mem=…",
    "CANCELLED": "it was cancelled",
    "PREEMPTED": "another job took its place",
    "NODE_FAIL": "its node failed",
}


class SlurmExecutor(Stoppable):
    """Makes each call a job of Slurm.

    Parameters
    ----------
    executor : submitit executor
    at_once : int, optional
        Jobs in the queue at a time, at most.
    """

    def __init__(self, executor: Any, *, at_once: int | None = None) -> None:
        self._executor, self.at_once = executor, at_once
        self._jobs: list[Any] = []
        self._looked, self._gone = time.monotonic(), set[str]()

    def submit(self, function: Callable[..., Any], /, *args: Any) -> SlurmFuture:
        """Submit a call; what sbatch says against it is raised."""
        try:
            # Submitted from within a job, one would take that job's options for its own.
            within = "SLURM_JOB_ID" in os.environ
            with submitit.helpers.clean_env() if within else contextlib.nullcontext():
                job = self._executor.submit(on_node, list(sys.path), function, *args)
        except FailedJobError as error:
            raise LandscapeError(f"sbatch refused it: {_last_line(str(error))}") from None
        if isinstance(job, submitit.LocalJob):
            job._results_timeout_s = 1  # the files of this machine are there at once, those of others after a while
        self._jobs.append(job)
        return SlurmFuture(self, job)

    def kill(self) -> None:
        """Cancel all jobs that are not done."""
        for job in self._jobs:
            with contextlib.suppress(Exception):
                job.cancel(check=False)
        self._jobs.clear()

    def has_left(self, job: Any) -> bool:
        """Whether a job is in the queue no more, which is all that is known of it where Slurm keeps no accounts."""
        if not isinstance(job, submitit.SlurmJob) or job.state != "UNKNOWN":
            return False
        if time.monotonic() - self._looked > LOOK_EVERY:
            self._looked = time.monotonic()
            command = ["squeue", "--noheader", "--format=%i", "--jobs", ",".join(known.job_id for known in self._jobs)]
            with contextlib.suppress(OSError):  # no squeue: nothing is known
                said = subprocess.run(command, capture_output=True, text=True)
                self._gone = {known.job_id for known in self._jobs} - {*said.stdout.split()}
        return job.job_id in self._gone

    def forget(self, job: Any) -> None:
        """It is done."""
        with contextlib.suppress(ValueError):
            self._jobs.remove(job)


@dataclass(frozen=True, eq=False)
class SlurmFuture:
    """A call that is a job of Slurm; it must be asked whether it is done."""

    executor: SlurmExecutor
    job: Any

    def done(self) -> bool:
        """Whether there is a result, or Slurm says that there will be none."""
        return bool(self.job.done()) or self.executor.has_left(self.job)

    def cancel(self) -> None:
        """Take it out of the queue, or end it."""
        self.job.cancel(check=False)

    def result(self) -> Any:
        """What the function returned. The job's files are removed then, and kept where there is none.

        Raises
        ------
        ProcessDied
            If the job ended before the function did.
        LandscapeError
            If it could not be begun where it ran.
        """
        self.executor.forget(self.job)
        try:
            value = self._value()
        except FailedJobError as error:
            said = _last_line(str(error).split("-" * 22)[1] if str(error).count("-" * 22) > 1 else str(error))
            raise LandscapeError(
                f"{self._name} could not begin it: {said}. The same landscape must be installed there; "
                f"{self.job.paths.stderr} has the rest"
            ) from None
        except UncompletedJobError:
            raise ProcessDied(self._why_it_ended()) from None
        self._tidy()
        return value

    def _value(self) -> Any:
        if not self.job.done():  # it left the queue, and its file may come late
            time.sleep(self.job._results_timeout_s)
            if not Path(self.job.paths.result_pickle).exists():
                raise UncompletedJobError
        return self.job.result()

    @property
    def _name(self) -> str:
        return f"Slurm job {self.job.job_id}"

    def _why_it_ended(self) -> str:
        state, said = (str(self.job.state).split() or ["UNKNOWN"])[0], _last_line(_tail(self.job.paths.stderr))
        why = _HELP.get(state) or (f"it said: {said}" if said else "it said nothing")
        return f"{self._name} ended without a result, in the state {state}: {why} ({self.job.paths.stderr})"

    def _tidy(self) -> None:
        """Of what went well nobody needs the files, and they hold what the job carried."""
        folder, prefix = Path(self.job.paths.folder), f"{self.job.job_id}_"
        with contextlib.suppress(OSError):
            for file in folder.glob(f"{prefix}*"):
                file.unlink(missing_ok=True)


def on_node(path: list[str], function: Callable[..., Any], /, *args: Any) -> Any:
    """Make a call in a job, with the search path of whoever submitted it.

    The signals by which Slurm and submitit announce an end are not heeded: what is stored is stored, a job that is
    preempted begins again by itself, and one whose time is up is tried once more.
    """
    sys.path += [folder for folder in path if folder not in sys.path]
    if os.environ.get("SUBMITIT_EXECUTOR") not in ("slurm", "local"):  # one of submitit's that calls where it is called
        return function(*args)
    for name in ("SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return function(*args)


@contextmanager
def submitting(text: str) -> Iterator[SlurmExecutor]:
    """An executor by the settings of a text; when the block ends, jobs that are left are cancelled.

    Raises
    ------
    UsageError
        For settings that are none.
    LandscapeError
        If Slurm is not there, or the folder cannot be written.
    """
    given = settings_of(text, KNOWN, of="slurm")
    parameters, at_once = _parameters(given), int(given["jobs"]) if "jobs" in given else None
    cluster = given.get("cluster", "slurm")
    if cluster not in ("slurm", "local"):
        raise UsageError(f"executor='slurm:…': cluster={cluster!r} is neither 'slurm' nor 'local'")
    if cluster == "slurm" and (missing := [name for name in ("sbatch", "srun") if shutil.which(name) is None]):
        raise LandscapeError(
            f"executor='slurm:…': Slurm is not here: there is no {missing[0]} on the PATH; start this where jobs are "
            "submitted, or with 'slurm:cluster=local' to try it out"
        )
    home = Path(os.path.abspath(given.get("folder", FOLDER)))
    folder = home / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = submitit.AutoExecutor(folder=folder, cluster=cluster)
        made.update_parameters(**parameters)
    except OSError as error:
        raise LandscapeError(
            f"executor='slurm:…': {home} cannot be written ({error.strerror or error}); name one that all nodes see: "
            "folder=DIR"
        ) from error
    executor = SlurmExecutor(made, at_once=at_once)
    try:
        yield executor
    finally:
        executor.kill()
        with contextlib.suppress(OSError):
            for file in folder.glob(".submission_file_*.sh"):  # of which each job has a copy
                file.unlink()
            folder.rmdir()  # unless a job left its reasons there
            home.rmdir()


def _parameters(given: dict[str, str]) -> dict[str, Any]:
    """As ``AutoExecutor`` takes them."""
    for name in _NUMBERS:
        if name in given and not (given[name].isdecimal() and int(given[name]) > 0):
            raise UsageError(f"executor='slurm:…': {name}={given[name]!r} must be a whole number of at least 1")
    minutes = slurm_minutes(given["time"]) if "time" in given else TIME
    if minutes is None:
        raise UsageError(
            f"executor='slurm:…': time={given['time']!r} must be a time, such as 90 (minutes), 2h, 1:30:00 or 2-00:00"
        )
    options = {OPTIONS[name]: value for name, value in given.items() if name in OPTIONS}
    # The landscape that submits is the one that is found there.
    setup = [f"export PYTHONPATH={shlex.quote(str(_PACKAGES))}${{PYTHONPATH:+:$PYTHONPATH}}"]
    return {
        "name": "landscape", "timeout_min": minutes, "slurm_additional_parameters": options,
        "slurm_setup": setup + ([given["setup"]] if "setup" in given else []),
        "slurm_use_srun": False,  # one process needs no srun, which forgets cpus-per-task
    }  # fmt: skip


def _tail(file: Path) -> str:
    with contextlib.suppress(OSError):
        return Path(file).read_text(errors="replace")[-4096:]
    return ""


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""
