"""How far an analysis is, passed on to whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from landscape.analysis.clock import expected_in
from landscape.jobs import Reporter


@dataclass
class PassedOn:
    """Passes progress on, says what is expected once, and keeps the last total for the short steps at the end."""

    reporter: Reporter | None
    say: Callable[[str], None] | None = None
    total: float = 1.0
    jobs: int = 1
    at_once: int = 1
    is_said: bool = False

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.total = max(total, done)
        if not self.is_said and self.say is not None:
            line = expected_in(doing, jobs=self.jobs, at_once=self.at_once)
            if line is not None:
                self.is_said = True
                self.say(line)
        if self.reporter is not None:
            self.reporter.update(done=done, total=total, doing=doing)

    def at_the_end(self, doing: str) -> None:
        self.update(done=self.total, total=self.total, doing=doing)


@dataclass(frozen=True)
class AtTheEnd:
    """Progress of the short steps after the measuring of runs: what is being done, not how far it is."""

    progress: PassedOn

    def update(self, *, done: float, total: float, doing: str) -> None:
        self.progress.at_the_end(doing)
