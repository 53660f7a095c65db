"""What lines and planes through a point have in common: where they go, what is read there, how far they reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from landscape.geometry.splits import asked_on
from landscape.geometry.surfaces.evaluate import SliceValues, slice_values
from landscape.objective import Objective, Vector
from landscape.progress import Progress


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

    def to(self, up: float, right: float) -> Tensor:
        """θ at (y, x); the point itself where both are zero."""
        there = self.point
        steps = (right, up)[: self.given.columns.shape[1]]
        for k, step in enumerate(steps):
            if step != 0:
                there = torch.add(there, self.given.columns[:, k], alpha=step)
        return there

    def at(self, up: float, right: float) -> tuple[Objective, Tensor]:
        """θ at (y, x), and the objective with what belongs to it besides."""
        there = self.to(up, right)
        return self.holding_at(there), there

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
            here, there = self.at(*((0.0, step) if k == 0 else (step, 0.0)))
            return here.loss(there)

        here, there = self.at(0.0, 0.0)
        found = chosen_radius(
            loss_along, centre=here.loss(there), curvature=curvature, lengths=self.given.lengths,
            param_norm=self.param_norm, resolution=self.objective.resolution,
        )  # fmt: skip
        return replace(found, num_losses=found.num_losses + 1)

    def values(
        self, axes: tuple[np.ndarray, np.ndarray], radius: Radius, *, tol: float | None, progress: Progress | None
    ) -> SliceValues:
        """Loss and metrics on a grid."""
        right, up = radius.values[0], radius.values[-1] if len(radius.values) == 2 else 1.0
        found = slice_values(
            self.readings, self.at, axes, (up, right), tol=tol, moving=self.statistics == "recompute", progress=progress
        )
        fields = found.fields | {"num_evaluations": found.fields["num_evaluations"] + radius.num_losses}
        return replace(found, fields=fields)

    def fields(self, values: np.ndarray, loss: np.ndarray, axes: tuple[np.ndarray, ...]) -> dict[str, Any]:
        """What a record keeps of the metrics, (K, …), weight decay among them."""
        fields = self.readings.fields(values)
        if self.decay is None:
            return fields
        name, total = self.decay.name, loss + self.decay.on_grid(axes)
        return {
            "metric_names": (*fields["metric_names"], name),
            "metric_values": np.concatenate([values.reshape(-1, *total.shape), total[None]]),
            "metric_losses": (*fields["metric_losses"], name),
        }

    def marked(self, marks: Mapping[str, Any]) -> dict[str, Any]:
        """What a record keeps of positions beside the slice: loss and metrics, exactly, and where they lie."""
        places, outside, rows = [], [], []
        for given in marks.values():
            place = end_of(self.question, given)
            coordinates, distance = self.given.along(place.theta - self.point)
            if place.constants is None:
                here = self.holding_at(place.theta)
            else:
                here = self.objective.with_constants(place.constants)
            row = self.readings.at(here, place.theta)
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
