"""A progress bar with the time left; silent where the output is no terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from landscape.escaping.terminal import one_line


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
        self.bar.update(self.task, completed=done, total=total, doing=one_line(doing), left=f"{_clock(left)} left")


@contextmanager
def progress_bar() -> Iterator[BarReporter]:
    """A bar on stderr, so that what is printed on stdout stays clean."""
    console = Console(stderr=True)
    columns = (BarColumn(24), TextColumn("{task.percentage:>3.0f} %"), TextColumn("{task.fields[left]}"),
               TextColumn("{task.fields[doing]}", markup=False))  # fmt: skip
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield BarReporter(bar, bar.add_task("analyze", total=None, doing="reading checkpoints", left=""))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    return f"{minutes}:{rest:02d}"
