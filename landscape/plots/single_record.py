"""The figure of a single record: what ``record.plot()`` draws."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.plots.lines import plot_interpolation, plot_lines
from landscape.plots.paths import plot_paths
from landscape.plots.spectrum import plot_spectrum
from landscape.plots.surface import plot_contour
from landscape.results import Eigenpairs, LineSlice, PathSlice, PlaneSlice, SpectralMeasure, Spectrum


@singledispatch
def draw(record: Any, *, ax: Axes | None = None, **options: Any) -> Axes:
    """The figure of a record on ``ax``, or on the axes of a new one; ``options`` are those of its plot function.

    Raises
    ------
    UsageError
        For a record that has no figure.
    """
    drawn = ", ".join(kind.__name__ for kind in draw.registry if kind is not object)
    raise UsageError(f"a record of the class {type(record).__name__} has no figure of its own; there is one of {drawn}")


@draw.register
def _(record: SpectralMeasure, *, ax: Axes | None = None, **options: Any) -> Axes:
    return plot_spectrum(record, ax=ax, **options)


@draw.register
def _(record: Eigenpairs, *, ax: Axes | None = None, **options: Any) -> Axes:
    return plot_spectrum(None, eigenpairs=record, ax=ax, **options)


@draw.register
def _(record: Spectrum, *, ax: Axes | None = None, **options: Any) -> Axes:
    return plot_spectrum(record.density, eigenpairs=record.eigs, ax=ax, **options)


@draw.register
def _(record: LineSlice, *, ax: Axes | None = None, **options: Any) -> Axes:
    plot = plot_interpolation if record.kind == "interpolation" else plot_lines
    return plot(record, ax=ax, **options)


@draw.register
def _(record: PlaneSlice, *, ax: Axes | None = None, **options: Any) -> Axes:
    return plot_contour(record, ax=ax, **options)


@draw.register
def _(record: PathSlice, *, ax: Axes | None = None, **options: Any) -> Axes:
    return plot_paths(record, ax=ax, **options)
