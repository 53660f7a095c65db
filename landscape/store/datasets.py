"""Results as an ``xarray.Dataset``: numbers over run × step, spectra, densities and slices with axes of their own."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.errors import ResultsError
from landscape.results import Eigenpairs, LineSlice, PlaneSlice, SpectralMeasure
from landscape.results.base import Array
from landscape.store.catalogue import MEASURES
from landscape.store.records import dump
from landscape.store.tidy import readings, unit_of

if TYPE_CHECKING:
    import xarray

    from landscape.store.view import CheckpointResults, Results, RunResults

#: A variable: its dimensions, its values, and what is said of it.
Variable = tuple[tuple[str, ...], Array, dict[str, str]]
_GRID = ("run", "step")
_CURVATURE = MEASURES["lambda_max"].unit


def dataset(results: Results) -> xarray.Dataset:
    """The results as a dataset; see :meth:`landscape.store.Results.to_xarray`.

    Raises
    ------
    ResultsError
        If xarray is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise ResultsError(
            "to_xarray() needs xarray, which is not installed: pip install landscape-curvature[xarray]; to_dataframe() "
            "has the same numbers without it"
        ) from None
    grid = _Grid(results)
    variables = {**grid.numbers(), **grid.spectra()}
    slices, axes, left_out = grid.slices()
    variables |= slices
    if results.pairs:
        variables["barrier"] = grid.barriers(results)
        axes["other_run"] = (("other_run",), grid.coordinates["run"][1], {})
    attrs = _provenance(results) | ({"left_out": ", ".join(left_out)} if left_out else {})
    return xarray.Dataset(variables, {**grid.coordinates, **axes}, attrs)


class _Grid:
    """The checkpoints of all runs by run and step; a run without a step has NaN there."""

    def __init__(self, results: Results) -> None:
        self.runs: list[RunResults] = list(results.runs)
        self.steps = sorted({c.step for run in self.runs for c in run.checkpoints if c.records})
        self.shape = (len(self.runs), len(self.steps))
        seeds = [math.nan if run.seed is None else run.seed for run in self.runs]
        known = not any(map(math.isnan, seeds))
        self.coordinates: dict[str, Variable] = {
            "run": (("run",), _texts(run.name for run in self.runs), {}),
            "step": (("step",), np.array(self.steps, dtype=np.int64), {"long_name": "optimizer steps taken"}),
            "label": (("run",), _texts(run.label or "" for run in self.runs), {}),
            "optimizer": (("run",), _texts(run.optimizer or "" for run in self.runs), {}),
            "seed": (("run",), np.array(seeds, dtype=np.int64 if known else float), {}),
        }

    def cells(self) -> Iterator[tuple[tuple[int, int], CheckpointResults]]:
        for row, run in enumerate(self.runs):
            for checkpoint in run.checkpoints:
                if checkpoint.records:
                    yield (row, self.steps.index(checkpoint.step)), checkpoint

    def numbers(self) -> dict[str, Variable]:
        """Each measure that is there, with its error, its 95 % interval and whether it converged."""
        found: dict[str, Variable] = {}
        for at, checkpoint in self.cells():
            for key, reading in readings(checkpoint).items():
                if key not in found:
                    found |= self._empty(key)
                parts = {"": reading.value, "_error": reading.error, "_low": reading.low, "_high": reading.high}
                for part, value in parts.items():
                    found[key + part][1][at] = math.nan if value is None else value
                found[f"{key}_converged"][1][at] = reading.converged
                _add_kind(found[key][2], reading.error_kind)
        missing = ((key, variable) for key, variable in found.items() if key.endswith(("_error", "_low", "_high")))
        unknown = [key for key, (_, values, _) in missing if np.isnan(values).all()]
        return {key: variable for key, variable in found.items() if key not in unknown}

    def _empty(self, key: str) -> dict[str, Variable]:
        measure = MEASURES[key]
        units = {"units": unit_of(measure) or "1"}
        made: dict[str, Variable] = {key: (_GRID, self._nan(), {"long_name": measure.words, **units})}
        for part in ("_error", "_low", "_high"):
            made[key + part] = (_GRID, self._nan(), dict(units))
        return made | {f"{key}_converged": (_GRID, np.zeros(self.shape, dtype=bool), {})}

    def spectra(self) -> dict[str, Variable]:
        """Eigenvalues from either end by rank, λ₁ and λ_P first, with residuals; nodes and weights of densities."""
        units = {"units": _CURVATURE}
        made = {}
        for end, where in (("largest", "top"), ("smallest", "bottom")):
            parts = {"eigenvalues": "values", "residuals": "residuals"}
            for name, field in parts.items():
                made[f"{end}_{name}"] = self._stacked(
                    "eigenpairs", Eigenpairs, _ordered(where, field), (f"rank_of_{end}",), units
                )
        for part, said in (("nodes", units), ("weights", {"long_name": "share of the eigenvalues, 1 for each probe"})):
            made[f"density_{part}"] = self._stacked(
                "density", SpectralMeasure, attrgetter(part), ("probe", "node"), said
            )
        return {name: variable for name, variable in made.items() if variable[1].size}

    def _stacked(
        self, name: str, kind: type, part: Callable[[Any], Array], dims: tuple[str, ...], said: dict[str, str]
    ) -> Variable:
        """Arrays of unequal lengths over the grid, shorter ones filled up with NaN."""
        arrays = {at: part(c.records[name]) for at, c in self.cells() if isinstance(c.records.get(name), kind)}
        longest = tuple(max((a.shape[axis] for a in arrays.values()), default=0) for axis in range(len(dims)))
        values = np.full((*self.shape, *longest), np.nan)
        for at, array in arrays.items():
            values[at][tuple(map(slice, array.shape))] = array
        return (*_GRID, *dims), values, dict(said)

    def slices(self) -> tuple[dict[str, Variable], dict[str, Variable], list[str]]:
        """The loss of lines and planes whose points are the same in all runs, their axes, and those left out."""
        found: dict[str, dict[tuple[int, int], LineSlice | PlaneSlice]] = {}
        for at, checkpoint in self.cells():
            for name, record in checkpoint.records.items():
                if isinstance(record, LineSlice | PlaneSlice):
                    found.setdefault(name, {})[at] = record
        variables: dict[str, Variable] = {}
        axes: dict[str, Variable] = {}
        left_out = []
        for name, records in found.items():
            grids = [_axes(record) for record in records.values()]
            if any(not _same(grids[0], grid) for grid in grids[1:]):
                left_out.append(name)
                continue
            dims = tuple(f"{name}_{axis}" for axis in grids[0])
            values = np.full((*self.shape, *map(len, grids[0].values())), np.nan)
            for at, record in records.items():
                values[at] = record.loss
            variables[f"{name}_loss"] = ((*_GRID, *dims), values, {"units": "loss"})
            axes |= {dim: ((dim,), points, {}) for dim, points in zip(dims, grids[0].values(), strict=True)}
        return variables, axes, left_out

    def barriers(self, results: Results) -> Variable:
        """From run to run, the same both ways."""
        names = [run.name for run in self.runs]
        values = np.full((len(names), len(names)), np.nan)
        for pair in results.pairs:
            if pair.run_a in names and pair.run_b in names:
                a, b = names.index(pair.run_a), names.index(pair.run_b)
                values[a, b] = values[b, a] = pair.record.barrier
        said = {"units": "loss", "long_name": "barrier on the straight line", "error_kind": "lower bound"}
        return ("run", "other_run"), values, said

    def _nan(self) -> Array:
        return np.full(self.shape, np.nan)


def _add_kind(said: dict[str, str], kind: str | None) -> None:
    """Of a measure whose errors are of two kinds, both."""
    kinds = {*said.get("error_kind", "").split(" or "), kind or ""} - {""}
    if kinds:
        said["error_kind"] = " or ".join(sorted(kinds))


def _ordered(where: str, field: str) -> Callable[[Eigenpairs], Array]:
    """Values or residuals from one end of the spectrum inwards."""
    return lambda pairs: getattr(pairs, field)[getattr(pairs, where)]


def _axes(record: LineSlice | PlaneSlice) -> dict[str, Array]:
    """In the order of the axes of the loss."""
    return {"t": record.t} if isinstance(record, LineSlice) else {"y": record.y, "x": record.x}


def _same(one: Mapping[str, Array], other: Mapping[str, Array]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[axis], other[axis]) for axis in one)


def _texts(found: Iterator[str]) -> Array:
    return np.array(list(found), dtype=str)


def _provenance(results: Results) -> dict[str, Any]:
    """What netCDF takes as attributes: texts and numbers; whatever is nested, as JSON."""
    info = results.info
    said: dict[str, Any] = {"source": str(results.path)}
    for key in ("plan_name", "command", "created", "platform", "seconds", "threads"):
        if info.get(key) is not None:
            said[key] = info[key]
    for key in ("plan", "versions", "skipped"):
        if info.get(key):
            said[key] = dump(info[key])
    kept = {key: value for key, value in said.items() if isinstance(value, str | int | float)}
    objectives = {run.name: {key: run.info.get(key) for key in ("problem", "fingerprint")} for run in results.runs}
    return kept | {"objectives": json.dumps(objectives)}
