"""Why a process came to its end, in one line, and what helps against that."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from landscape.errors import Frame, users_frame

_CRASHES = {
    "SIGSEGV": "it touched memory that is not its own", "SIGBUS": "it touched memory that is not there",
    "SIGABRT": "the library gave up", "SIGILL": "the library has instructions that this processor lacks",
    "SIGFPE": "an integer was divided by zero", "SIGTRAP": "the library gave up", "SIGSYS": "a call was forbidden",
}  # fmt: skip
_LIMITS = {"SIGXCPU": "of processor time (ulimit -t)", "SIGXFSZ": "on the size of files (ulimit -f)"}
_FRAME = re.compile(r'  File "(.*)", line (\d+) in (.*)')  # as faulthandler writes them, the innermost first
#: With it begins what faulthandler says; the lines before are the process's own.
_FAULT = "Fatal Python error"


@dataclass(frozen=True)
class Advice:
    """What helps against the end of a process, in the words of whoever asked for the work.

    Attributes
    ----------
    memory : str
        What needs less memory.
    crash : str
        What may go round a library that crashes.
    again : str
        What does the rest.
    """

    memory: str = "fewer processes need less of it"
    crash: str = "Another version of that library may go round it"
    again: str = "start it again"


def why_it_ended(status: int, stderr: str, advice: Advice) -> str:
    """One line about a process that should have gone on.

    Parameters
    ----------
    status : int
        Its exit status; of one that was ended by a signal, minus the signal's number.
    stderr : str
        The end of what it wrote there.
    advice : Advice
    """
    lines = [line.strip() for line in stderr.partition(_FAULT)[0].splitlines() if line.strip()]
    last = lines[-1][:300] if lines else ""
    if status >= 0:
        return f"its process ended with status {status}: {last or 'it said nothing'}"
    name = _name_of(-status)
    if name == "SIGKILL":
        return (
            "its process was ended by SIGKILL, as the system does where memory runs out; if nobody did it on purpose, "
            f"{advice.memory}"
        )
    if name in _CRASHES:
        place = _place(stderr)
        return (
            f"its process crashed inside a compiled library with {name} ({_CRASHES[name]})"
            f"{f', called from {place}' if place else ''}{f', after saying: {last}' if last else ''}. {advice.crash}; "
            "please report it, with this line"
        )
    if name in _LIMITS:
        return f"its process was ended by {name}: a limit of this session {_LIMITS[name]}; raise it"
    return f"its process was ended by {name}, from outside; {advice.again}"


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _place(stderr: str) -> Frame | None:
    found = [Frame(file, int(line), function) for file, line, function in _FRAME.findall(stderr.partition(_FAULT)[2])]
    return users_frame(frame for frame in reversed(found) if frame.file != "<string>")  # how a worker is started
