"""Results as a reader sees them: runs, their analysed checkpoints, the records of each. Plain data."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, overload

from landscape.errors import ResultsError
from landscape.escaping.control_characters import encodable
from landscape.files import json_shapes
from landscape.files.json_shapes import usable
from landscape.results import LineSlice, Record
from landscape.results.base import Drawable
from landscape.store import datasets, reprs, tidy
from landscape.store.catalogue import MEASURES
from landscape.store.lookup import NoSuchName, by_name, by_position, suggestions
from landscape.store.reading import Reading

if TYPE_CHECKING:
    import pandas as pd
    import xarray


@dataclass(frozen=True, eq=False, repr=False)
class CheckpointResults(Drawable):
    """What was measured at one checkpoint: ``checkpoint.trace`` or ``checkpoint["trace"]`` is the record of that name.

    ``plot()`` draws the spectrum, or else its numbers; each record has a ``plot()`` of its own.

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

    @property
    def not_reached(self) -> dict[str, str]:
        """Of those, which were asked for an accuracy, and how far they came, in words."""
        found = {}
        for name in self.not_converged:
            asked = self.provenance.get(name, {}).get("asked")
            if isinstance(asked, dict) and isinstance(asked.get("why"), str):
                found[name] = asked["why"]
        return found

    @property
    def measures(self) -> dict[str, Reading]:
        """Every measure of the catalogue that there is, by its name in tables: value, error, 95 % interval."""
        return tidy.readings(self)

    def value(self, measure: str) -> Reading:
        """A measure by its name in tables, such as ``"lambda_max"``.

        Raises
        ------
        ResultsError
            If it was not measured here, or there is no measure of this name.
        """
        if measure in MEASURES and measure not in self.measures:
            raise NoSuchName(f"{measure} was not measured at step {self.step}{suggestions(self.measures, None)}")
        return by_name(self.measures, measure, what="measure", where=f"step {self.step}")

    def __getitem__(self, name: str) -> Record:
        return by_name(self.records, name, what="record", where=f"step {self.step}")

    def __contains__(self, name: object) -> bool:
        return name in self.records

    def __iter__(self) -> Iterator[str]:
        return iter(self.records)

    def __getattr__(self, name: str) -> Any:
        # Before a copy has its fields there are no records to look into.
        records: Mapping[str, Record] = self.__dict__.get("records", {})
        if name in records:
            return records[name]
        listed = "" if name.startswith("__") else suggestions(records, name)
        raise AttributeError(f"{type(self).__name__} has no attribute or record {name!r}{listed}")

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *filter(str.isidentifier, self.records)})

    def __getstate__(self) -> dict[str, Any]:
        # Views of mappings, as which the records are held, are not pickled.
        return {**self.__dict__, "records": dict(self.records), "provenance": dict(self.provenance)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        views = {name: MappingProxyType(state[name]) for name in ("records", "provenance")}
        self.__dict__.update({**state, **views})

    def __repr__(self) -> str:
        return reprs.of_checkpoint(self).text()

    def _repr_html_(self) -> str:
        return reprs.of_checkpoint(self).html()


@dataclass(frozen=True, eq=False, repr=False)
class RunResults(Drawable):
    """What was measured on one run: a sequence of its checkpoints in order of step, and what it was trained with.

    ``run[-1]`` is the last checkpoint, ``run.at(step=200)`` that of a step; ``plot(measure="trace")``
    draws a measure against the step.
    """

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

    @property
    def steps(self) -> tuple[int, ...]:
        """The steps of the checkpoints."""
        return tuple(checkpoint.step for checkpoint in self.checkpoints)

    def at(self, *, step: int) -> CheckpointResults:
        """The checkpoint of this step.

        Raises
        ------
        ResultsError
            If there is none; the message names the steps.
        """
        for checkpoint in self.checkpoints:
            if checkpoint.step == step:
                return checkpoint
        raise NoSuchName(f"no checkpoint of step {step!r} in {self._where}{suggestions(map(str, self.steps), None)}")

    def to_dataframe(self) -> pd.DataFrame:
        """Its numbers as :meth:`Results.to_dataframe` has them."""
        return tidy.tidy_runs([self])

    def __len__(self) -> int:
        return len(self.checkpoints)

    def __iter__(self) -> Iterator[CheckpointResults]:
        return iter(self.checkpoints)

    @overload
    def __getitem__(self, key: int) -> CheckpointResults: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[CheckpointResults, ...]: ...
    def __getitem__(self, key: int | slice) -> CheckpointResults | tuple[CheckpointResults, ...]:
        return by_position(self.checkpoints, key, what="checkpoint", where=self._where)

    @property
    def _where(self) -> str:
        return f"run {self.name!r}" if self.name else "this run"

    def __repr__(self) -> str:
        return reprs.of_run(self).text()

    def _repr_html_(self) -> str:
        return reprs.of_run(self).html()


@dataclass(frozen=True, eq=False)
class PairResult(Drawable):
    """The line between the minima of two runs."""

    run_a: str
    run_b: str
    record: LineSlice
    provenance: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"{self.run_a} – {self.run_b}\n{self.record}"


@dataclass(frozen=True, eq=False, repr=False)
class Results(Drawable):
    """All that is stored in one ``results.h5`` and its journal: a sequence of runs.

    ``results["adam-s0"]`` is a run, ``results["adam-s0"][-1].trace`` a record of its last checkpoint;
    ``plot(measure="trace")`` compares a measure between groups of runs.

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
        return by_name({run.name: run for run in self.runs}, name, what="run", where=str(self.path))

    def to_dataframe(self) -> pd.DataFrame:
        """All numbers as a tidy table: a row for each run, analysed step and measure of the catalogue.

        Returns
        -------
        DataFrame
            ``run, label, optimizer, seed, step, measure, value, error, error_kind, low, high, converged, unit,
            source``. ``error_kind`` says what ``error`` is: a ``"bound"`` within which the truth lies, or one
            ``"standard error"``; the value of a ``"lower bound"`` is one itself. ``low`` and ``high`` are the 95 %
            interval (of a lower bound, up to infinity). ``source`` is ``"saved"`` where training's own word is all
            there is. Accuracies are shares, 0 … 1.
        """
        return tidy.tidy_runs(self.runs)

    def pairs_to_dataframe(self) -> pd.DataFrame:
        """The barriers between runs, a row for each pair: ``run_a, run_b``, their labels and seeds, and the number."""
        return tidy.tidy_pairs(self.pairs, self.runs)

    def to_xarray(self) -> xarray.Dataset:
        """All numbers as an ``xarray.Dataset``, for which xarray must be installed.

        Returns
        -------
        Dataset
            Of each measure ``NAME`` over ``run`` × ``step``, with ``NAME_error``, ``NAME_low``, ``NAME_high`` (where
            there are any) and ``NAME_converged``; NaN where it was not measured. ``largest_eigenvalues`` and
            ``smallest_eigenvalues`` by rank from either end, with residuals; ``density_nodes`` and
            ``density_weights`` of each probe; ``RECORD_loss`` of lines and planes, where their points are the same in
            all runs (else they are named in the attribute ``left_out``); ``barrier`` from run to run. Attributes say
            where the numbers come from: plan, versions, objectives.

        Raises
        ------
        ResultsError
            If xarray is not installed.
        """
        return datasets.dataset(self)

    def __len__(self) -> int:
        return len(self.runs)

    def __iter__(self) -> Iterator[RunResults]:
        return iter(self.runs)

    def __contains__(self, run: object) -> bool:
        return any(run == known.name or run is known for known in self.runs)

    @overload
    def __getitem__(self, key: str | int) -> RunResults: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[RunResults, ...]: ...
    def __getitem__(self, key: str | int | slice) -> RunResults | tuple[RunResults, ...]:
        if isinstance(key, str):
            return self.run(key)
        return by_position(self.runs, key, what="run", where=str(self.path))

    def __repr__(self) -> str:
        return reprs.of_results(self).text()

    def _repr_html_(self) -> str:
        return reprs.of_results(self).html()


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
