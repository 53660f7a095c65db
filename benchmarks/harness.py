"""Two contenders in one process, in turn, each answer held against the judge before its time counts."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.cases import Case

#: A sample of a quick piece of work repeats it until this much time has passed.
SAMPLE_SECONDS = 0.1
MAX_CALLS = 100


@dataclass(frozen=True)
class Answer:
    """What a contender found, the matvecs it took (0 where that is not the currency), and how, where it chooses."""

    value: Any
    matvecs: float = 0
    note: str = ""


Run = Callable[[int], Answer]
Judge = Callable[[Case, Answer], float]


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a workload.

    Attributes
    ----------
    name : str
    prepare : callable
        ``prepare(case) -> run``; ``run(repeat) -> Answer``. Only ``run`` is timed; what ``prepare`` takes is reported
        beside it as the set-up.
    package : str or None
        The module it needs.
    judge : callable, optional
        Its own error, where its answer is of another kind than the others'.
    role : {"peer", "ours", "yardstick"}
        A tool to be compared with, another way to ask ours, or something to read the times by.
    """

    name: str
    prepare: Callable[[Case], Run]
    package: str | None = None
    judge: Judge | None = None
    role: str = "peer"


@dataclass(frozen=True)
class Goal:
    """What a workload was meant to show.

    Attributes
    ----------
    text : str
        As a person would say it.
    against : str
        A contender, by the beginning of its name (the fastest of them counts), or ``FASTEST_PEER``.
    at_least : float
        What the other's figure over ours must reach, as the median over the rounds.
    quantity : {"seconds", "matvecs", "bytes"}
    same_answer : bool
        Whether the other's answer must be within the tolerance for it to be compared with. Ours always must.
    """

    text: str
    against: str
    at_least: float
    quantity: str = "seconds"
    same_answer: bool = True


#: Of the tools with the same answer, the one with the least time.
FASTEST_PEER = "fastest peer"


@dataclass(frozen=True)
class Workload:
    """A piece of work, and who does it.

    Attributes
    ----------
    name, title : str
    case : str
        Name in ``cases.SPECS``.
    ours : Contender
    others : tuple of Contender
        Each is paired with ``ours`` in a process of its own.
    judge : callable
        The error of an answer: ``judge(case, answer) -> float``.
    error_name : str
        What the error is, for the table.
    tolerance : float
        Above it an answer is not the same answer, and its time does not count.
    items : int
        Seconds are given per item: vectors in a block.
    sampled : bool
        Repeat a quick piece of work within one sample.
    random : bool
        Answers differ by seed: their errors are taken together as a root mean square. Otherwise the largest counts.
    goals : tuple of Goal
    truth : callable, optional
        ``truth(case)`` works out what the judge needs, and leaves it in the case's cache, before anyone is timed.
    """

    name: str
    title: str
    case: str
    ours: Contender
    others: tuple[Contender, ...]
    judge: Judge
    error_name: str
    tolerance: float
    items: int = 1
    sampled: bool = False
    random: bool = False
    goals: tuple[Goal, ...] = ()
    truth: Callable[[Case], object] | None = None

    @property
    def peers(self) -> set[str]:
        """Names of the tools to be compared with."""
        return {c.name for c in self.others if c.role == "peer"}

    def contender(self, name: str) -> Contender:
        """The contender of that name."""
        return next(c for c in (self.ours, *self.others) if c.name == name)

    def error(self, contender: Contender, errors: list[float]) -> float:
        """One number for the errors of several answers; infinite if one of them is not finite."""
        if not errors or not np.isfinite(errors).all():
            return math.inf
        return float(np.sqrt(np.mean(np.square(errors)))) if self.random else float(np.max(errors))


@dataclass
class Side:
    """What one contender did in a pair. ``failure`` is None or the first line of what it raised."""

    name: str
    failure: str | None = None
    setup: float = math.nan
    first: float = math.nan
    calls: int = 1
    seconds: list[float] = field(default_factory=list)
    errors: list[float] = field(default_factory=list)
    matvecs: list[float] = field(default_factory=list)
    note: str = ""
    error: float = math.nan
    agrees: bool = False


def measure_pair(
    workload: Workload, other: Contender, case: Case, *, repeats: int, sample_seconds: float
) -> dict[str, Any]:
    """Ours and another in turn, A B A B, after one untimed round that is judged.

    Returns
    -------
    dict
        ``ours`` and ``other``, each a :class:`Side` as a dict. If one of them fails, the other is still measured.
    """
    contenders = (workload.ours, other)
    sides = [Side(c.name) for c in contenders]
    runs = [_prepared(c, side, case) for c, side in zip(contenders, sides, strict=True)]
    for contender, side, run in zip(contenders, sides, runs, strict=True):
        if run is not None:
            _first_round(workload, contender, side, run, case, sample_seconds if workload.sampled else 0.0)
    alive = [(c, s, r) for c, s, r in zip(contenders, sides, runs, strict=True) if r is not None and s.failure is None]
    for repeat in range(1, repeats + 1):
        for contender, side, run in alive:
            if side.failure is None:
                _timed_round(workload, contender, side, run, case, repeat)
    for contender, side in zip(contenders, sides, strict=True):
        side.error = workload.error(contender, side.errors)
        side.agrees = side.failure is None and side.error <= workload.tolerance
    return {"ours": asdict(sides[0]), "other": asdict(sides[1])}


def _prepared(contender: Contender, side: Side, case: Case) -> Run | None:
    torch.manual_seed(0)
    begin = time.perf_counter()
    try:
        run = contender.prepare(case)
    except Exception as error:  # whatever a peer cannot do is a line in the table
        side.failure = first_line(error)
        return None
    side.setup = time.perf_counter() - begin
    return run


def _first_round(workload: Workload, contender: Contender, side: Side, run: Run, case: Case, sample: float) -> None:
    """The first call, with all that happens only once; then how many calls make a sample."""
    seconds, answer = _time(run, 0, 1, side)
    if answer is None:
        return
    side.first, side.note = seconds / workload.items, answer.note
    _judge(workload, contender, side, case, answer)
    if sample > 0:
        seconds, _ = _time(run, 0, 1, side)
        side.calls = max(1, min(MAX_CALLS, math.ceil(sample / max(seconds, 1e-9))))


def _timed_round(workload: Workload, contender: Contender, side: Side, run: Run, case: Case, repeat: int) -> None:
    gc.collect()
    seconds, answer = _time(run, repeat, side.calls, side)
    if answer is None:
        return
    side.seconds.append(seconds / (side.calls * workload.items))
    side.matvecs.append(answer.matvecs)
    _judge(workload, contender, side, case, answer)


def _judge(workload: Workload, contender: Contender, side: Side, case: Case, answer: Answer) -> None:
    side.errors.append(float((contender.judge or workload.judge)(case, answer)))


def _time(run: Run, repeat: int, calls: int, side: Side) -> tuple[float, Answer | None]:
    torch.manual_seed(repeat)  # this process is the benchmark's own, and some peers know no other seed
    answer = None
    begin = time.perf_counter()
    try:
        for _ in range(calls):
            answer = run(repeat)
    except Exception as error:  # as above
        side.failure = first_line(error)
        return math.nan, None
    return time.perf_counter() - begin, answer


def first_line(error: BaseException) -> str:
    """Type and first line of an exception, cut to what a table can hold."""
    lines = str(error).strip().splitlines()
    text = f"{type(error).__name__}: {lines[0] if lines else ''}"
    return text if len(text) <= 160 else text[:157] + "…"


def calibrated(candidates: list[int], error_of: Callable[[int], float], tolerance: float) -> int:
    """The first of the ascending budgets whose error is within the tolerance; the last one if none is.

    Gives a tool without a tolerance of its own the smallest budget that does the work. Never timed.
    """
    for budget in candidates:
        if error_of(budget) <= tolerance:
            return budget
    return candidates[-1]
