"""Results as a reader sees them: runs, their analysed checkpoints, the records of each. Plain data."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from landscape.errors import ResultsError
from landscape.escaping.control_characters import encodable
from landscape.files import json_shapes
from landscape.files.json_shapes import usable
from landscape.results import LineSlice, Record


@dataclass(frozen=True, eq=False)
class CheckpointResults:
    """What was measured at one checkpoint.

    Attributes
    ----------
    step : int
        Optimizer steps taken.
    metrics : dict
        What training saved: ``train_loss``, ``test_accuracy`` and so on; any may be missing or wrong.
        :mod:`landscape.store.metrics` reads what was measured first.
    records : mapping of name to Record
    provenance : mapping of name to dict
        How each record was measured: ``key``, ``seconds``, ``matvecs``, ``converged``, ``route`` and so on.
    """

    step: int
    metrics: dict[str, Any]
    records: Mapping[str, Record]
    provenance: Mapping[str, dict[str, Any]]

    @property
    def not_converged(self) -> tuple[str, ...]:
        """Names of the records that did not converge, by their own account or by that of their provenance."""
        return tuple(
            name
            for name, record in self.records.items()
            if not (_says_converged(record) and self.provenance.get(name, {}).get("converged", True))
        )

    def __repr__(self) -> str:
        return f"step {self.step}: {', '.join(self.records) or 'nothing measured'}"


@dataclass(frozen=True, eq=False)
class RunResults:
    """What was measured on one run: its checkpoints in order of step, and what it was trained with."""

    name: str
    info: dict[str, Any]
    checkpoints: tuple[CheckpointResults, ...]

    @property
    def config(self) -> dict[str, Any]:
        """The training config."""
        return usable(self.info.get("config") or {}, json_shapes.CONFIG)

    @property
    def optimizer(self) -> str | None:
        """Name of the optimizer, where the run has one."""
        found = self.info.get("optimizer", self.config.get("optimizer"))
        return None if found is None else str(found)

    @property
    def label(self) -> str | None:
        """The group of replicates that the run belongs to: what its training named it, or else its optimizer."""
        found = self.config.get("label", self.optimizer)
        return None if found is None else encodable(str(found))

    @property
    def seed(self) -> int | None:
        """Seed of the training, where the run has one."""
        found = self.info.get("seed", self.config.get("seed"))
        return None if found is None else int(found)

    @property
    def last(self) -> CheckpointResults:
        """The last checkpoint.

        Raises
        ------
        ResultsError
            If no checkpoint of this run is stored.
        """
        if not self.checkpoints:
            raise ResultsError(f"run {self.name!r} has no checkpoint in these results; run landscape analyze again")
        return self.checkpoints[-1]

    def __repr__(self) -> str:
        steps = ", ".join(str(c.step) for c in self.checkpoints) or "none"
        return f"{self.name or 'this run'}: {len(self.checkpoints)} checkpoints (steps {steps})"


@dataclass(frozen=True, eq=False)
class PairResult:
    """The line between the minima of two runs."""

    run_a: str
    run_b: str
    record: LineSlice
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.run_a} – {self.run_b}\n{self.record}"


@dataclass(frozen=True, eq=False)
class Results:
    """All that is stored in one ``results.h5`` and its journal.

    Attributes
    ----------
    path : Path
        ``results.h5``, whether or not it was consolidated yet.
    info : dict
        ``plan``, ``plan_name``, ``versions``, ``skipped``, ``created``, ``seconds``, ``command``, ``platform``.
    runs : tuple of RunResults
        By name, numbers in names counted as numbers.
    pairs : tuple of PairResult
    """

    path: Path
    info: dict[str, Any]
    runs: tuple[RunResults, ...]
    pairs: tuple[PairResult, ...]

    def run(self, name: str) -> RunResults:
        """The run of this name.

        Raises
        ------
        ResultsError
            If there is none; the message lists the names.
        """
        for run in self.runs:
            if run.name == name:
                return run
        raise ResultsError(
            f"no run {name!r} in {self.path}; there are {', '.join(r.name for r in self.runs) or 'none'}"
        )

    def __repr__(self) -> str:
        return "\n".join([f"{self.path}: {len(self.runs)} runs, {len(self.pairs)} pairs", *map(repr, self.runs)])

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


def natural_order(name: str) -> list[tuple[int, float, str]]:
    """A sorting key under which numbers count as numbers.

    >>> sorted(["lr0.1-s10", "lr0.02-s2", "lr0.1-s2"], key=natural_order)
    ['lr0.02-s2', 'lr0.1-s2', 'lr0.1-s10']
    """
    pieces = re.split(r"(\d+(?:\.\d+)?)", name)  # numbers stand at the odd places
    return [(0, float(p), "") if i % 2 else (1, 0.0, p) for i, p in enumerate(pieces) if p]


def _says_converged(record: Record) -> bool:
    said = getattr(record, "converged", True)
    return bool(said.all()) if hasattr(said, "all") else bool(said)
