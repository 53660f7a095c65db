"""What one analysis has open in this process: a checkpoint is read and hashed once, and a problem is built once."""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

from landscape.analysis.context import CheckpointContext
from landscape.analysis.plan import Plan
from landscape.checkpoints import Checkpoint, load_checkpoint
from landscape.errors import CheckpointError
from landscape.problems import Problem

#: Of the checkpoints held; where they are more, those that were not used for the longest time are let go.
MOST_BYTES = 256 << 20
#: The same of what rounds find again: recorded products, eigenvectors.
MOST_KEPT = 1 << 30


class Opened:
    """Checkpoints and problems kept in memory as long as their files and the question are the same."""

    def __init__(self) -> None:
        self._checkpoints: OrderedDict[str, tuple[tuple[int, ...], Checkpoint]] = OrderedDict()
        self._problems: dict[str, Problem] = {}
        self._contexts: OrderedDict[str, CheckpointContext] = OrderedDict()

    def checkpoint(self, file: str | Path) -> Checkpoint:
        """As :func:`landscape.checkpoints.load_checkpoint`; read again where the file is not the one that was read."""
        name, identity = os.path.abspath(file), _identity(file)
        known = self._checkpoints.get(name)
        if known is not None and known[0] == identity:
            self._checkpoints.move_to_end(name)
            return known[1]
        checkpoint = load_checkpoint(file, keep=True)
        if identity:
            self._checkpoints[name] = identity, checkpoint
            self._checkpoints.move_to_end(name)
            while len(self._checkpoints) > 1 and sum(size for (size, *_), _ in self._checkpoints.values()) > MOST_BYTES:
                self._checkpoints.popitem(last=False)
        return checkpoint

    def readable(self, files: Sequence[str | Path]) -> list[Checkpoint]:
        """Those of several that can be read."""
        found = []
        for file in files:
            with contextlib.suppress(CheckpointError):
                found.append(self.checkpoint(file))
        return found

    def problem(self, checkpoint: Checkpoint, plan: Plan) -> Problem:
        """The problem of a checkpoint, as the plan has it."""
        name = checkpoint.problem_key(plan.problem, plan.data, plan.problem_config)
        if name not in self._problems:
            self._problems[name] = checkpoint.find_problem(
                plan.problem, data_dir=plan.data, problem_config=plan.problem_config
            )
        return self._problems[name]

    def context(self, file: str | Path) -> CheckpointContext | None:
        """What an earlier round made of a checkpoint, recorded products and all; None where it is no longer here."""
        name = os.path.abspath(file)
        if name in self._contexts:
            self._contexts.move_to_end(name)
        return self._contexts.get(name)

    def keep(self, file: str | Path, context: CheckpointContext) -> None:
        """For the next round, as far as there is room."""
        self._contexts[os.path.abspath(file)] = context
        while len(self._contexts) > 1 and sum(c.held for c in self._contexts.values()) > MOST_KEPT:
            self._contexts.popitem(last=False)


_of: dict[str, Opened] = {}


def opened_by(analysis: str) -> Opened:
    """What an analysis, under its unique name, has open here; what another one had open is let go."""
    if analysis not in _of:
        _of.clear()
        _of[analysis] = Opened()
    return _of[analysis]


def forget(analysis: str) -> None:
    """Let go what it had open: code and data may be others when the next one begins."""
    _of.pop(analysis, None)


def _identity(file: str | Path) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()  # opening it raises the reason
    return found.st_size, found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
