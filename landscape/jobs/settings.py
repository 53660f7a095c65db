"""The settings behind the name of an executor, ``partition=gpu,time=2h``, and the times in them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from landscape import checks
from landscape.errors import UsageError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0}
_SLURM = re.compile(r"(?:(?P<days>\d+)-)?(?P<parts>\d+(?::\d+){0,2})")


def settings_of(text: str, known: Collection[str], *, of: str) -> dict[str, str]:
    """Settings by name; a piece without ``=`` belongs to the value before it, as in ``exclude=n1,n2``.

    >>> settings_of("partition=gpu,exclude=n1,n2", ["partition", "exclude"], of="slurm")
    {'partition': 'gpu', 'exclude': 'n1,n2'}
    >>> settings_of("partion=gpu", ["partition", "time"], of="slurm")
    Traceback (most recent call last):
    landscape.errors.UsageError: executor='slurm:…': there is no setting 'partion'; there are partition, time

    Raises
    ------
    UsageError
        For a setting that there is not, is given twice, or has no value.
    """
    found: dict[str, str] = {}
    last = ""
    for piece in text.split(",") if text.strip() else []:
        name, is_named, value = (part.strip() for part in piece.partition("="))
        if not is_named and last:
            found[last] += f",{name}"
            continue
        if name not in known:
            raise UsageError(f"executor='{of}:…': there is no setting {name!r}; there are {', '.join(known)}")
        if name in found or not value:
            fault = "is given twice" if name in found else "has no value"
            raise UsageError(f"executor='{of}:…': {name} {fault}; write {name}=VALUE once")
        found[name] = value
        last = name
    return found


def seconds_in(text: str) -> float | None:
    """Seconds, as of ``90``, ``90s``, ``10m``, ``1h30m``, ``2d``; None where it is no positive time.

    >>> seconds_in("90"), seconds_in("10m"), seconds_in("1h30m"), seconds_in("soon")
    (90.0, 600.0, 5400.0, None)
    """
    return checks.seconds_in(text, _UNITS)


def slurm_minutes(text: str) -> int | None:
    """Minutes, rounded up, of a time as Slurm reads it or with units; None where it is none.

    Slurm's own: minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
    days-hours:minutes:seconds.

    >>> [slurm_minutes(text) for text in ("30", "0:30", "1:30:00", "1-00", "1-12:30", "2h", "90s")]
    [30, 1, 90, 1440, 2190, 120, 2]
    """
    if (found := _SLURM.fullmatch(text.strip())) is not None:
        parts = [int(part) for part in found["parts"].split(":")]
        if found["days"] is not None:
            hours, minutes, seconds = [*parts, 0, 0][:3]
            total = ((int(found["days"]) * 24 + hours) * 60 + minutes) * 60 + seconds
        elif len(parts) == 3:
            total = (parts[0] * 60 + parts[1]) * 60 + parts[2]
        else:
            total = parts[0] * 60 + (parts[1] if len(parts) == 2 else 0)
    else:
        total = math.ceil(seconds_in(text) or 0)
    return math.ceil(total / 60) or None
