"""Results about the loss around a point. ``M`` points of a line, ``X`` and ``Y`` points of a plane."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from landscape.errors import UsageError
from landscape.results.barriers import WithBarriers
from landscape.results.base import Array, Estimate, Record
from landscape.results.batch_statistics import WORDS
from landscape.results.interpolated import evaluation_lines
from landscape.results.metrics import WithMetrics, extent, no_errors, no_metrics
from landscape.results.reach import reach_lines
from landscape.rounding import format_measured, format_value


@dataclass(frozen=True, eq=False, repr=False)
class PointValue(Record):
    """Loss, ``‖∇L‖`` and ``‖θ‖`` at one point; exact up to rounding."""

    loss: float
    grad_norm: float
    param_norm: float

    def _lines(self) -> list[tuple[str, str]]:
        return [
            ("loss", format_value(self.loss)),
            ("‖gradient‖", format_value(self.grad_norm)),
            ("‖parameters‖", format_value(self.param_norm)),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class LineSlice(WithBarriers, Record):
    """The loss on a line.

    Attributes
    ----------
    t, loss : (M,) arrays
        ``loss[i] = L(θ + t[i]·d)``, or ``L((1 − t)θ_a + t θ_b)`` where ``kind="interpolation"``. NaN stays NaN.
    direction : str
        What the direction is, in words.
    step_norm : float
        ``‖d‖``: one unit of t in parameter space.
    curvature : float
        ``dᵀHd`` at the centre, from a Hessian-vector product. NaN for interpolations.
    curvature_slice, curvature_error : float
        The same from differences of slope and loss on this line, and how far those can be trusted.
    batch_statistics : str
        What running statistics of normalisation layers are along the line: ``"fixed"``, ``"recompute"``,
        ``"interpolate"`` or ``"train"`` (:mod:`landscape.results.batch_statistics`); empty where the model has none.
    metrics : dict of name to (M,) array
        What else was evaluated at these points, of the same network.
    metric_names, metric_values, metric_losses
        The same as stored: K names, (K, M) values, and the names of those that are a loss, such as of test data.
    error, error_log10 : float
        Largest error of the loss on the grid, and of its log₁₀, as stated; 0 where every point was evaluated.
    metric_errors : dict of name to float
        Of the metrics likewise; stored as ``metric_error_values`` (K,). At 95 % where examples were drawn, or tried.
    num_evaluations : int
        At how many points the network was evaluated on all examples, parts of them counted as such, rounded up; 0 in
        older records: at every one.
    reason : str
        What kept the error from what was asked, or why every point was evaluated although few were asked for.
    num_drawn, num_examples : int
        Of how many examples, drawn at random from how many, the loss is; ``num_drawn`` is 0 where it is of all. Then
        what was not drawn is in ``error``, at 95 %, and the loss at the centre (of an interpolation, at its ends) is
        that of all.
    param_norm : float
        ``‖θ‖`` at the centre; NaN in older records, and of interpolations.
    radius_words : str
        By what the radius was chosen; empty where it was given.
    split : str
        What the loss is of, ``"train"`` or ``"test"`` data.
    disagreement, test_disagreement : float
        Of both ends of an interpolation that :func:`landscape.analyze` made, on training and test data: as in a
        :class:`MinimaMatrix`, ``disagreement_of`` says of what. NaN where it was not measured.
    """

    t: Array
    loss: Array
    direction: str
    step_norm: float
    kind: str = "direction"
    curvature: float = float("nan")
    curvature_slice: float = float("nan")
    curvature_error: float = float("nan")
    batch_statistics: str = ""
    metric_names: tuple[str, ...] = ()
    metric_values: Array = field(default_factory=no_metrics)
    metric_losses: tuple[str, ...] = ()
    error: float = 0.0
    error_log10: float = 0.0
    num_evaluations: int = 0
    reason: str = ""
    num_drawn: int = 0
    num_examples: int = 0
    metric_error_values: Array = field(default_factory=no_errors)
    param_norm: float = float("nan")
    radius_words: str = ""
    split: str = "train"
    disagreement: float = float("nan")
    test_disagreement: float = float("nan")
    disagreement_of: str = ""

    @property
    def curvature_agrees(self) -> bool:
        """Whether both curvatures of the centre agree within the error of the differences."""
        return bool(abs(self.curvature - self.curvature_slice) <= self.curvature_error)

    def _apart(self) -> list[tuple[str, str]]:
        """How much the predictions of both ends differ, where that was measured."""
        found = {"training": self.disagreement, "test": self.test_disagreement}
        said = [f"{format_value(value)} on {name} data" for name, value in found.items() if np.isfinite(value)]
        return [("disagreement", f"{', '.join(said)} ({self.disagreement_of})")] if said else []

    def _check_joins(self) -> None:
        if self.kind != "interpolation":
            raise UsageError("a barrier lies between two minima; this slice leaves one. Use interpolate()")

    def _lines(self) -> list[tuple[str, str]]:
        ends = f"{format_value(float(self.t[0]))} … {format_value(float(self.t[-1]))}"
        lines = [
            ("direction", self.direction),
            ("t", f"{ends}, {len(self.t)} points"),
            *reach_lines(self),
            ("loss" if self.split == "train" else "test loss", extent(self.loss)),
            *self.metric_lines(),
            *evaluation_lines(self),
            *_about_statistics(self.batch_statistics),
        ]
        if self.kind == "interpolation":
            return [*lines, ("barrier ≥", format_value(self.barrier)), *self._apart()]
        if self.batch_statistics == "recompute" or np.isnan([self.curvature, self.curvature_slice]).all():
            return lines
        from_slice = format_measured(self.curvature_slice, self.curvature_error)
        return [*lines, ("dᵀHd", f"{format_value(self.curvature)}; from the slice {from_slice}")]


@dataclass(frozen=True, eq=False, repr=False)
class PlaneSlice(WithMetrics, Record):
    """The loss on a plane.

    Attributes
    ----------
    x : (X,) array
    y : (Y,) array
    loss : (Y, X) array
        ``loss[j, i] = L(θ + x[i]·d₁ + y[j]·d₂)``. NaN stays NaN.
    directions : tuple of str
    step_norms : (2,) array
        Lengths of both directions.
    curvature, curvature_slice, curvature_error : (2, 2) arrays
        ``DᵀHD`` at the centre from Hessian-vector products, from differences on the plane, and their error.
    batch_statistics : str
        As of a :class:`LineSlice`.
    metrics : dict of name to (Y, X) array
    metric_names, metric_values, metric_losses
        As of a :class:`LineSlice`; values are (K, Y, X).
    error, error_log10, metric_errors, num_evaluations, reason, num_drawn, num_examples, param_norm, radius_words, split
        As of a :class:`LineSlice`.
    mark_names : tuple of str
        Of S positions whose loss is known exactly, beside the surface.
    mark_points : (S, 2) array
        (x, y) of their projections.
    mark_outside, mark_losses : (S,) arrays
        How far they are from the plane, and their loss: each with the buffers that belong to it.
    mark_metric_values : (K, S) array
    """

    x: Array
    y: Array
    loss: Array
    directions: tuple[str, ...]
    step_norms: Array
    curvature: Array
    curvature_slice: Array
    curvature_error: Array
    batch_statistics: str = ""
    metric_names: tuple[str, ...] = ()
    metric_values: Array = field(default_factory=no_metrics)
    metric_losses: tuple[str, ...] = ()
    error: float = 0.0
    error_log10: float = 0.0
    num_evaluations: int = 0
    reason: str = ""
    num_drawn: int = 0
    num_examples: int = 0
    metric_error_values: Array = field(default_factory=no_errors)
    param_norm: float = float("nan")
    radius_words: str = ""
    split: str = "train"
    mark_names: tuple[str, ...] = ()
    mark_points: Array = field(default_factory=lambda: np.empty((0, 2)))
    mark_outside: Array = field(default_factory=lambda: np.empty(0))
    mark_losses: Array = field(default_factory=lambda: np.empty(0))
    mark_metric_values: Array = field(default_factory=no_metrics)

    @property
    def curvature_agrees(self) -> bool:
        """Whether the curvatures of the centre agree within the error of the differences."""
        return bool(np.all(np.abs(self.curvature - self.curvature_slice) <= self.curvature_error))

    def _lines(self) -> list[tuple[str, str]]:
        lines = [
            ("directions", ", ".join(self.directions)),
            ("grid", f"{len(self.y)} × {len(self.x)} points (y × x)"),
            *reach_lines(self),
            ("loss" if self.split == "train" else "test loss", extent(self.loss)),
            *self.metric_lines(),
            *evaluation_lines(self),
            *_about_statistics(self.batch_statistics),
        ]
        for index, name in enumerate(self.mark_names):
            away = float(self.mark_outside[index])
            off = f", {format_value(away, digits=2)} off the plane" if away > 1e-5 * self.param_norm else ""
            lines.append((name, f"loss {format_value(float(self.mark_losses[index]))}{off}"))
        if self.batch_statistics == "recompute" or np.isnan([self.curvature, self.curvature_slice]).all():
            return lines
        return [*lines, ("centre curvature", "agrees with HVPs" if self.curvature_agrees else "DISAGREES with HVPs")]


@dataclass(frozen=True, eq=False, repr=False)
class Sharpness(Record):
    """One flatness measure.

    Attributes
    ----------
    measure : str
        A name of :func:`landscape.measures`, with `` of normalised logits`` behind it where those were asked for.
    value : float
        A rise of the loss; Keskar's in per cent of 1 + L; a radius in units of θ, or without one of magnitudes.
    error : float or None
        Residual bound (lambda_max), standard error (trace, averages, relative flatness, radii, llc), rounding of what
        is exact. None for a lower bound.
    kind : str
        ``"estimate"``, ``"exact"`` or ``"lower bound"``.
    rho, p : float
        Radius and norm of the ball; NaN where the measure has none.
    samples : (S,) array
        One value per restart, random draw, or batch of m examples; none where the value is exact.
    num_evaluations : int
        Losses, gradients or matvecs over the whole data, rounded up.
    cost : float
        The same where parts of the data count as such: losses of an average, gradients of a worst case that was walked
        on drawn examples. NaN where it is ``num_evaluations``.
    method : str
        How data and displacements were drawn, of which layer or labels it is, how chains mixed.
    """

    measure: str
    value: float
    error: float | None
    kind: str
    rho: float
    p: float
    samples: Array
    converged: bool
    num_evaluations: int
    seed: int
    reference: str = ""
    cost: float = float("nan")
    method: str = ""

    def __float__(self) -> float:
        return float(self.value)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Interval for the value on all data that ``error`` gives, as :meth:`Estimate.interval` has it.

        Raises
        ------
        UsageError
            For a lower bound, which has none, or an estimate without an error.
        """
        if self.kind == "lower bound":
            raise UsageError(f"{self.measure} is a lower bound: it has no interval")
        if self.samples.size > 1:
            return Estimate(self.value, sem=self.error, samples=self.samples, method=self.measure).interval(level)
        return Estimate(self.value, bound=self.error, method=self.measure).interval(level)

    def _lines(self) -> list[tuple[str, str]]:
        mark = "≥ " if self.kind == "lower bound" else ""
        ball = "" if np.isnan(self.rho) else f", ρ = {format_value(self.rho)}"
        headline = mark + format_measured(self.value, self.error)
        lines = [(self.measure, headline), ("", f"{self.kind}{ball}; {self.reference}")]
        if self.method and np.isnan(self.rho):
            lines.append(("", self.method))
        return lines if self.converged else [*lines, ("", "NOT CONVERGED")]


def _about_statistics(kind: str) -> list[tuple[str, str]]:
    return [("running statistics", WORDS[kind])] if kind else []
