"""Every pair of several minima."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_choice, check_count
from landscape.errors import UsageError
from landscape.geometry.connecting.predictions import disagreements, predictions
from landscape.geometry.endpoints import constants_of
from landscape.geometry.interpolation import interpolate
from landscape.objective import Objective, Vector
from landscape.progress import Progress
from landscape.results import LineSlice, MinimaMatrix

#: What can be asked for; of barrier and disagreement that on test data comes along where there are such.
WHAT = ("barrier", "distance", "cosine", "disagreement", "overlap")
#: The second of two minima in the order of neurons of the first: ``(objective_a, objective_b) -> θ_b or objective``.
Aligner = Callable[[Objective, Objective], Vector | Objective]
_TEST = "test loss"


def compare_minima(
    objectives: Mapping[str, Objective],
    *,
    what: Sequence[str] = WHAT,
    test: Objective | None = None,
    starts: Sequence[Vector] | None = None,
    aligned: Aligner | Literal[False] = False,
    points: int = 25,
    batch_statistics: str | None = None,
    progress: Progress | None = None,
) -> MinimaMatrix:
    """All of :func:`landscape.minima_matrix` but overlaps, of objectives by name."""
    points = check_count("points", points, least=3, hint="both ends and something between")
    what = (what,) if isinstance(what, str) else tuple(what)
    for one in what:
        check_choice("what", one, WHAT)
    _check_alike(objectives)
    begun = None if starts is None else _starts(objectives, starts)
    models = list(objectives.values())
    pairs = _Pairs(len(models))
    count = len(models) * (len(models) - 1) // 2
    said, alone = "", dict[int, tuple[float, float]]()
    for done, (i, j) in enumerate(pairs.above, start=1):
        other = models[j] if aligned is False else aligned(models[i], models[j])
        theta_a, theta_b = models[i].theta, _theta(models[j], other)
        if "barrier" in what:
            line = _line(models[i], models[j], other, test, points, batch_statistics)
            pairs.put("barrier", i, j, line.barrier)
            pairs.put("barrier_error", i, j, line.barrier_bound - line.barrier)
            pairs.put("test_barrier", i, j, line.barrier_of(_TEST) if test is not None else np.nan)
            said = line.batch_statistics
            if said != "recompute":  # else the ends have the statistics of the data, and not their own
                alone.setdefault(i, _losses_at(line, 0))
                if aligned is False and batch_statistics != "fixed":
                    alone.setdefault(j, _losses_at(line, -1))
        if "distance" in what:
            pairs.put("distance", i, j, _length(theta_a, theta_b))
        if "cosine" in what:
            moved = [theta_a, theta_b] if begun is None or aligned else [theta_a - begun[i], theta_b - begun[j]]
            pairs.put("cosine", i, j, _cosine(*moved))
        if progress is not None:
            progress(done, count)
    losses = np.array([alone.get(i) or _losses_of(one, test) for i, one in enumerate(models)])
    apart, on_test, kind = _disagreements(models, test, asked="disagreement" in what)
    matrices = pairs.found(what)
    return MinimaMatrix(
        names=tuple(objectives),
        losses=losses[:, 0],
        test_losses=losses[:, 1],
        barrier=matrices["barrier"],
        barrier_error=matrices["barrier_error"],
        test_barrier=matrices["test_barrier"],
        distance=matrices["distance"],
        cosine=matrices["cosine"],
        disagreement=apart,
        test_disagreement=on_test,
        overlap=np.full_like(apart, np.nan),
        cosine_of="θ" if begun is None or aligned else "θ − θ₀",
        disagreement_of=kind,
        points=points if "barrier" in what else 0,
        aligned=aligned is not False,
        batch_statistics=said,
    )


#: Matrices that are filled pair by pair, with what stands on their diagonals.
_DIAGONALS = {"barrier": 0.0, "barrier_error": 0.0, "test_barrier": 0.0, "distance": 0.0, "cosine": 1.0}


class _Pairs:
    """Symmetric matrices that are filled pair by pair."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.above = [(i, j) for i in range(size) for j in range(i + 1, size)]
        self._matrices = {name: np.full((size, size), np.nan) for name in _DIAGONALS}

    def put(self, name: str, i: int, j: int, value: float) -> None:
        self._matrices[name][[i, j], [j, i]] = value

    def found(self, what: Sequence[str]) -> dict[str, np.ndarray]:
        """All of them; those that were asked for with their diagonals."""
        for name, matrix in self._matrices.items():
            if any(one in name for one in what) and np.isfinite(matrix).any():
                np.fill_diagonal(matrix, _DIAGONALS[name])
        return self._matrices


def _check_alike(objectives: Mapping[str, Objective]) -> None:
    """Refuse what cannot be compared, with the names of all it concerns."""
    if len(objectives) < 2:
        raise UsageError(f"{len(objectives)} minimum was given; pairs need at least 2")
    (first, of_first), *others = objectives.items()
    shapes = {name: dict(zip(o.layout.names, o.layout.shapes, strict=True)) for name, o in objectives.items()}
    if unlike := [name for name, _ in others if list(shapes[name].items()) != list(shapes[first].items())]:
        ours, theirs = shapes[first], shapes[unlike[0]]
        tensors = [t for t in ours | theirs if ours.get(t) != theirs.get(t)] or list(ours)
        raise UsageError(
            f"{', '.join(unlike)}: of another architecture than {first}: the parameters {', '.join(tensors[:4])} of "
            f"{unlike[0]} have no counterpart of the same name and shape. Compare them apart"
        )
    if unlike := [name for name, o in others if o.digest() != of_first.digest()]:
        raise UsageError(
            f"{', '.join(unlike)}: on other data, or with another loss, than {first}; minima of different questions "
            "are not compared"
        )
    if len({id(o) for o in objectives.values()}) < len(objectives):
        raise UsageError("one objective was given twice; each minimum needs one of its own, of a model of its own")


def _starts(objectives: Mapping[str, Objective], starts: Sequence[Vector]) -> list[Tensor]:
    """θ₀ of each, in the order of the minima."""
    if len(starts) != len(objectives):
        raise UsageError(f"{len(starts)} starts were given for {len(objectives)} minima; expected one for each")
    return [o.point(start) for o, start in zip(objectives.values(), starts, strict=True)]


def _line(
    a: Objective, b: Objective, other: Any, test: Objective | None, points: int, batch_statistics: str | None
) -> LineSlice:
    metrics = None if test is None else {_TEST: test}
    end = other if isinstance(other, Objective) else b.point(other)
    found: LineSlice = interpolate(a, a, end, points=points, metrics=metrics, batch_statistics=batch_statistics)
    return found


def _losses_at(line: LineSlice, end: int) -> tuple[float, float]:
    """Of the model at one end, on the data and on test data, where the line has them."""
    return float(line.loss[end]), float(line.metrics[_TEST][end]) if _TEST in line.metrics else np.nan


def _losses_of(model: Objective, test: Objective | None) -> tuple[float, float]:
    return model.loss(), np.nan if test is None else _at(test, model).loss(model.theta)


def _theta(of: Objective, other: Vector | Objective) -> Tensor:
    return other.theta if isinstance(other, Objective) else of.point(other)


def _at(test: Objective, model: Objective) -> Objective:
    """The test data seen by a model with its own buffers."""
    return test.with_constants(constants_of(model))


def _disagreements(
    models: Sequence[Objective], test: Objective | None, *, asked: bool
) -> tuple[np.ndarray, np.ndarray, str]:
    """On the data, on test data, and of what; NaN where it is not measured."""
    if not asked:
        nothing = np.full((len(models), len(models)), np.nan)
        return nothing, nothing.copy(), ""
    apart, kind = disagreements([predictions(one, one.theta) for one in models])
    if test is None:
        return apart, np.full_like(apart, np.nan), kind
    on_test, kind_on_test = disagreements([predictions(_at(test, one), one.theta) for one in models])
    return apart, on_test, kind or kind_on_test


def _length(a: Tensor, b: Tensor) -> float:
    return float(torch.linalg.vector_norm(a.cpu().double() - b.cpu().double()))


def _cosine(a: Tensor, b: Tensor) -> float:
    """NaN where one of them is zero."""
    a, b = a.cpu().double(), b.cpu().double()
    lengths = float(torch.linalg.vector_norm(a) * torch.linalg.vector_norm(b))
    return float(a @ b) / lengths if lengths > 0 else float("nan")
