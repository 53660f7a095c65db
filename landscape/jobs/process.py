"""A process that makes calls for this one: a fresh interpreter, fed over pipes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

from landscape.jobs.executor import ProcessDied
from landscape.jobs.exit_reasons import Advice, why_it_ended
from landscape.jobs.job import Failure
from landscape.jobs.pipes import opened, receive, send
from landscape.jobs.progress import Reporter

STDERR_TAIL = 64 * 1024  # bytes at the end of what a process wrote on stderr, in which the reason stands
_PACKAGES = Path(__file__).parents[2]  # the folder in which this package was found; a worker must find the same
_START = "import sys; sys.path.insert(0, sys.argv[1]); from landscape.jobs.worker import main; main()"


class WorkerProcess:
    """One process of :mod:`landscape.jobs.worker`, and the pipes to it.

    Parameters
    ----------
    threads : int or None
        OpenMP threads; None: as the environment says.
    advice : Advice
        What helps where it dies.

    Raises
    ------
    OSError
        If it cannot be started.
    """

    def __init__(self, threads: int | None, advice: Advice) -> None:
        self._advice = advice
        # The number of OpenMP threads is read when torch is loaded.
        limit = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, str(_PACKAGES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=self._stderr, env={**os.environ, "LANDSCAPE_ALONE": "1", **limit},
            )  # fmt: skip
        except BaseException:
            self._stderr.close()
            raise
        self._calls = cast(BinaryIO, self._process.stdin)
        self._answers = cast(BinaryIO, self._process.stdout)
        self._send([str(folder) for folder in sys.path])

    def call(self, place: str, args: tuple[Any, ...], reporter: Reporter | None) -> tuple[str, Any]:
        """Have a call made and listen until it is.

        Returns
        -------
        tuple
            ``("value", …)`` that the function returned, or ``("raised", Failure)``.

        Raises
        ------
        ProcessDied
            If the process ended before.
        """
        try:
            self._send((place, args))
        except Exception as error:  # an argument that cannot be pickled
            return "raised", Failure.of(error)
        while (content := receive(self._answers)) is not None:
            kind, *said = opened(content)
            if kind != "progress":
                return kind, said[0]
            if reporter is not None:
                reporter.update(done=said[0], total=said[1], doing=said[2])
        raise ProcessDied(self._why_it_ended())

    def has_ended(self) -> bool:
        """Whether it can make no more calls."""
        return self._process.poll() is not None

    def kill(self) -> None:
        """End it now."""
        self._process.kill()

    def close(self) -> None:
        """There is no more to do."""
        for pipe in (self._calls, self._answers):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # it is dead
        self._process.wait()
        self._stderr.close()

    def _send(self, message: object) -> None:
        try:
            send(self._calls, message)
        except BrokenPipeError:
            return  # the process is dead; whoever listens next notices

    def _why_it_ended(self) -> str:
        status = self._process.wait()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - STDERR_TAIL))
        stderr = self._stderr.read().decode(errors="replace")
        self.close()
        return why_it_ended(status, stderr, self._advice)
