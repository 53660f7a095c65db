"""What lines and planes through a point have in common: where they go, what is read there, how far they reach."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape.checks import check_count, check_positive
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import refuse_other_buffers, where_theta_moves
from landscape.geometry.endpoints import end_of
from landscape.geometry.metrics import Metrics, Readings
from landscape.geometry.planes.decay import Decay
from landscape.geometry.planes.radius import AUTO, Radius, around, chosen_radius
from landscape.geometry.planes.spanned import Spanned
from landscape.geometry.slice_curvature import Operator, centre_curvature
from landscape.geometry.splits import asked_on
from landscape.geometry.surfaces.evaluate import SliceValues, slice_values
from landscape.geometry.surfaces.identity import digest
from landscape.geometry.surfaces.memory import Memory, remembering
from landscape.jobs import Executor
from landscape.objective import Objective, Vector
from landscape.progress import Progress


@dataclass(frozen=True)
class Steps:
    """Called with (y, x): the objective with what belongs to θ there besides, and θ; the point itself at (0, 0)."""

    point: Tensor
    columns: Tensor
    holding_at: Callable[[Tensor], Objective]

    def __call__(self, up: float, right: float) -> tuple[Objective, Tensor]:
        there = self.point
        for k, step in enumerate((right, up)[: self.columns.shape[1]]):
            if step != 0:
                there = torch.add(there, self.columns[:, k], alpha=step)
        return self.holding_at(there), there


@dataclass(frozen=True)
class Walk:
    """Steps from a point along columns, and what is read at each.

    Attributes
    ----------
    question : Objective
        As it was given.
    objective : Objective
        Whose loss is drawn, with the buffers of the point.
    given : Spanned
    point : (P,) tensor
    statistics, split : str
        For the record.
    memory : Memory
        Where what is evaluated is kept, and found again.
    """

    question: Objective
    objective: Objective
    given: Spanned
    point: Tensor
    statistics: str
    split: str
    readings: Readings
    decay: Decay | None
    holding_at: Callable[[Tensor], Objective]
    memory: Memory = field(default_factory=Memory)

    @classmethod
    def of(
        cls,
        objective: Objective,
        given: Spanned,
        *,
        theta: Vector | None,
        batch_statistics: str | None,
        metrics: Metrics,
        weight_decay: Any,
        on: str | None,
        test: Objective | None,
    ) -> Walk:
        """From what a slice is asked for."""
        origin = given.origin if theta is None else theta
        if batch_statistics is None:  # on a plane through positions each of them has its own
            batch_statistics = "fixed" if given.origin is None else "recompute"
        if given.origin is not None and batch_statistics != "fixed":
            refuse_other_buffers(objective)
        point = objective.point(origin)
        if given.origin is not None and theta is not None:
            shift, _ = given.along(objective.point(given.origin) - point)
            given = replace(given, positions=given.positions + shift)
        statistics, holding_at = where_theta_moves(objective, batch_statistics)
        asked = asked_on(objective, on, test, metrics)
        holding = asked.holding(holding_at)
        drawn = asked.drawn if asked.split == "train" else holding(point)
        decay = None if weight_decay is None else Decay(weight_decay, point, given.columns)
        readings = Readings(asked.drawn, asked.metrics)
        return cls(objective, drawn, given, point, statistics, asked.split, readings, decay, holding)

    @contextmanager
    def kept_in(self, folder: str | Path | None, executor: Executor | str | None) -> Iterator[Walk]:
        """The same, of which what is evaluated within the block is kept in a folder, and evaluated by an executor."""

        def question() -> tuple[Any, ...]:
            return self.question, self.objective, self.split, self.statistics, self.point, self.given.columns

        with remembering(folder, question, executor) as memory:
            yield replace(self, memory=memory)

    def curvature(self, hessian: Operator | None) -> tuple[np.ndarray, ...]:
        """At the point, of the columns: by products, by differences, and the error of these."""
        columns = self.given.columns
        if self.statistics == "recompute":
            return (np.full((columns.shape[1],) * 2, np.nan),) * 3

        def computed() -> np.ndarray:
            of_train = hessian if self.split == "train" else None
            return np.stack(centre_curvature(self.objective, self.point, columns, of_train))

        return tuple(self.memory.numbers("curvature", computed))

    @property
    def at(self) -> Steps:
        """``at(y, x)``: the objective with what belongs to θ there besides, and θ."""
        return Steps(self.point, self.given.columns, self.holding_at)

    @property
    def param_norm(self) -> float:
        """‖θ‖ at the point."""
        return float(torch.linalg.vector_norm(self.point.cpu().double()))

    def radius(self, asked: Any, curvature: np.ndarray) -> Radius:
        """How far to go: as asked, or as the rule of :mod:`~landscape.geometry.planes.radius` says."""
        count, shown = self.given.columns.shape[1], len(self.given.positions) > 0
        if asked is None:
            asked = AUTO if shown else 1.0
        if not (isinstance(asked, str) and asked == AUTO):
            is_pair = count == 2 and isinstance(asked, (tuple, list))
            radii = tuple(asked) if is_pair else (asked,) * count
            if len(radii) != count:
                raise UsageError(f"a plane has two axes: radius={asked!r} and labels must be pairs")
            return Radius(tuple(check_positive("radius", r, hint="how far to go, or 'auto'") for r in radii))
        if shown:
            return around(self.given.positions)

        def loss_along(k: int, step: float) -> float:
            place = (0.0, step) if k == 0 else (step, 0.0)
            return float(self.memory.numbers(f"loss at {place!r}", lambda: _loss(*self.at(*place))))

        found = chosen_radius(
            loss_along, centre=loss_along(0, 0.0), curvature=curvature, lengths=self.given.lengths,
            param_norm=self.param_norm, resolution=self.objective.resolution,
        )  # fmt: skip
        return replace(found, num_losses=found.num_losses + 1)

    def values(
        self, axes: tuple[np.ndarray, np.ndarray], radius: Radius, *, tol: float | None, progress: Progress | None
    ) -> SliceValues:
        """Loss and metrics on a grid."""
        right, up = radius.values[0], radius.values[-1] if len(radius.values) == 2 else 1.0
        found = slice_values(
            self.readings, self.at, axes, (up, right), tol=tol, moving=self.statistics == "recompute",
            progress=progress, memory=self.memory,
        )  # fmt: skip
        fields = found.fields | {"num_evaluations": found.fields["num_evaluations"] + radius.num_losses}
        return replace(found, fields=fields)

    def fields(self, found: SliceValues, values: np.ndarray, axes: tuple[np.ndarray, ...]) -> dict[str, Any]:
        """What a record keeps beside the loss: of the metrics, weight decay among them, and of how they came about.

        ``values`` (K, …) are those of ``found`` in the shape of the record.
        """
        fields = self.readings.fields(values[1:]) | found.fields
        if self.decay is None:
            return fields
        name, total = self.decay.name, values[0] + self.decay.on_grid(axes)
        return fields | {
            "metric_names": (*fields["metric_names"], name),
            "metric_values": np.concatenate([values[1:].reshape(-1, *total.shape), total[None]]),
            "metric_losses": (*fields["metric_losses"], name),
            "metric_error_values": np.append(fields["metric_error_values"], fields["error"]),
        }

    def marked(self, marks: Mapping[str, Any]) -> dict[str, Any]:
        """What a record keeps of positions beside the slice: loss and metrics, exactly, and where they lie."""
        places, outside, rows = [], [], []
        for given in marks.values():
            place = end_of(self.question, given)
            coordinates, distance = self.given.along(place.theta - self.point)

            def read(theta: Tensor = place.theta, held: dict[str, Tensor] | None = place.constants) -> list[float]:
                here = self.holding_at(theta) if held is None else self.objective.with_constants(held)
                return self.readings.at(here, theta)

            facts = [place.theta, place.constants, *self.readings.facts()]
            row = list(self.memory.numbers(f"mark {digest(*facts) if self.memory.keeps else ''}", read).tolist())
            if self.decay is not None:
                row.append(row[0] + self.decay.at(place.theta))
            places.append(coordinates)
            outside.append(distance)
            rows.append(row)
        table = np.array(rows, dtype=float).T if rows else np.empty((1, 0))
        return {
            "mark_names": tuple(map(str, marks)), "mark_points": np.array(places).reshape(-1, 2),
            "mark_outside": np.array(outside), "mark_losses": table[0], "mark_metric_values": table[1:],
        }  # fmt: skip


def _loss(objective: Objective, theta: Tensor) -> float:
    return objective.loss(theta)


def grid(radius: float, points: Any) -> np.ndarray:
    """``points`` numbers from ``-radius`` to ``radius``, with an exact zero in the middle and exact symmetry."""
    half = points // 2
    return np.asarray(radius * (np.arange(-half, half + 1) / half))


def check_points(points: Any) -> int:
    """An odd number of points."""
    count = check_count("points", points, least=3, hint="an odd one, whose middle is θ itself")
    if count % 2 == 0:
        raise UsageError(f"points={points} is even, so the centre would fall between two of them; use {points + 1}")
    return count
