"""A progress bar with the time left; silent where the output is no terminal."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TaskID, TextColumn
from rich.progress_bar import ProgressBar
from rich.text import Text

from landscape.escaping.terminal import one_line


class MovingBar(BarColumn):
    """A bar that moves on between two reports, as the work is expected to go, and never to the end by itself."""

    def render(self, task: Task) -> ProgressBar:
        """At each refresh."""
        moved = copy.copy(task)
        moved.completed = shown(task.completed, task.total, _since(task))
        return super().render(moved)


class MovingShare(TextColumn):
    """The same in per cent."""

    def __init__(self) -> None:
        super().__init__("")

    def render(self, task: Task) -> Text:
        """At each refresh."""
        share = shown(task.completed, task.total, _since(task)) / task.total if task.total else 0.0
        return Text(f"{100 * share:>3.0f} %")


def shown(done: float, total: float | None, seconds: float) -> float:
    """What is shown as done, in expected seconds, so long after the report that so much is.

    At first as fast as expected; the nearer the end that was expected, the slower, so that it is not passed.

    >>> shown(10, 100, 0), round(shown(10, 100, 1)), round(shown(10, 100, 1000))
    (10.0, 11, 100)
    """
    if total is None or total <= done:
        return done
    left = total - done
    return done + left * (1 - math.exp(-seconds / left))


@dataclass
class BarReporter:
    """Turns expected seconds of work into a bar; time left is the work left at the pace seen so far."""

    bar: Progress
    task: TaskID
    started: float = field(default_factory=time.perf_counter)

    def update(self, *, done: float, total: float, doing: str) -> None:
        """Move the bar; the pace corrects the estimate as soon as there is something to correct it with."""
        left = total - done
        elapsed = time.perf_counter() - self.started
        if done > 0.02 * total and elapsed > 2:
            left *= elapsed / done
        self.bar.update(
            self.task, completed=done, total=total, doing=one_line(doing), left=f"{_clock(left)} left",
            at=time.perf_counter(),
        )  # fmt: skip


@contextmanager
def progress_bar() -> Iterator[BarReporter]:
    """A bar on stderr, so that what is printed on stdout stays clean."""
    console = Console(stderr=True)
    columns = (MovingBar(24), MovingShare(), TextColumn("{task.fields[left]}"),
               TextColumn("{task.fields[doing]}", markup=False))  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("analyze", total=None, doing="reading checkpoints", left="", at=time.perf_counter())
        yield BarReporter(bar, task)


def _since(task: Task) -> float:
    """Seconds since the last report."""
    return time.perf_counter() - float(task.fields["at"])


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02d}"
