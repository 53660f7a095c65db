"""What ``.plot()`` draws: for each class of results the function that makes its figure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes

from landscape import results, store
from landscape.errors import UsageError
from landscape.plots import connecting, numbers, parts, points, stored, subspaces
from landscape.plots.alignment import plot_alignment, plot_repaired
from landscape.plots.chains import plot_chains
from landscape.plots.distances import plot_distances
from landscape.plots.every_step import plot_step_history
from landscape.plots.lines import plot_interpolation, plot_lines
from landscape.plots.paths import plot_paths
from landscape.plots.persistence import plot_persistence
from landscape.plots.planes import plot_models, plot_positions
from landscape.plots.spectrum import plot_spectrum
from landscape.plots.stability import plot_directional, plot_generalized, plot_stability, plot_update
from landscape.plots.style import house_style
from landscape.plots.surface import plot_contour
from landscape.plots.witnesses import plot_crosscheck


def _pairs(record: results.Eigenpairs, **options: Any) -> Axes:
    return plot_spectrum(None, eigenpairs=record, **options)


def _spectrum(record: results.Spectrum, **options: Any) -> Axes:
    return plot_spectrum(record.density, eigenpairs=record.eigs, **options)


def _line(record: results.LineSlice, **options: Any) -> Axes:
    return (plot_interpolation if record.kind == "interpolation" else plot_lines)(record, **options)


FIGURES: dict[type, Callable[..., Axes]] = {
    results.Alignment: plot_alignment,
    results.Attribution: subspaces.plot_attribution,
    results.Basins: points.plot_basins,
    results.BlockTable: parts.plot_blocks,
    results.Connection: connecting.plot_connection,
    results.Crosscheck: plot_crosscheck,
    results.Diagonal: parts.plot_diagonal,
    results.DirectionalSharpness: plot_directional,
    results.Distances: plot_distances,
    results.Eigenpairs: _pairs,
    results.Estimate: numbers.plot_estimate,
    results.Evaluation: numbers.plot_evaluation,
    results.GeneralizedSharpness: plot_generalized,
    results.LearningCoefficient: plot_chains,
    results.LineSlice: _line,
    results.Merged: connecting.plot_merged,
    results.MinimaMatrix: connecting.plot_minima,
    results.MissedSearch: numbers.plot_missed,
    results.OptimizerUpdate: plot_update,
    results.OutlierCount: numbers.plot_outliers,
    results.ModelPlane: plot_models,
    results.PathSlice: plot_paths,
    results.PcaPlane: plot_positions,
    results.Persistence: plot_persistence,
    results.PlaneSlice: plot_contour,
    results.PointValue: numbers.plot_point,
    results.PrincipalAngles: subspaces.plot_angles,
    results.Repaired: plot_repaired,
    results.SamplingSpread: numbers.plot_sampling,
    results.SecondOrderGain: parts.plot_gain,
    results.Sharpness: numbers.plot_sharpness,
    results.SpectralGap: numbers.plot_gap,
    results.SpectralMeasure: plot_spectrum,
    results.SpectralMoments: parts.plot_moments,
    results.Spectrum: _spectrum,
    results.Stability: plot_stability,
    results.StepHistory: plot_step_history,
    results.StepReport: points.plot_step,
    store.CheckpointResults: stored.plot_checkpoint,
    store.PairResult: stored.plot_pair,
    store.Results: stored.plot_results,
    store.RunResults: stored.plot_run,
}


def draw(found: Any, *, ax: Axes | None = None, **options: Any) -> Axes:
    """The figure of a result on ``ax``, or on the axes of a new one in our style; ``options`` are its function's.

    Raises
    ------
    UsageError
        For a result that has no figure.
    """
    figure = next((FIGURES[kind] for kind in type(found).__mro__ if kind in FIGURES), None)
    if figure is None:
        drawn = ", ".join(kind.__name__ for kind in FIGURES)
        raise UsageError(f"a {type(found).__name__} has no figure of its own; there is one of {drawn}")
    if ax is not None:
        return figure(found, ax=ax, **options)
    with house_style():
        return figure(found, **options)
