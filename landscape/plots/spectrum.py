"""The spectrum of one checkpoint: smoothed density with the eigenvalues and their residuals."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from landscape.errors import UsageError
from landscape.plots.legends import legend_outside
from landscape.plots.style import EIGENVALUE_COLOR, REFERENCE_COLOR, axes_or_new
from landscape.results import Eigenpairs, SpectralMeasure
from landscape.results.base import Array

DENSITY_COLOR = "#0072B2"


def default_bandwidth(measure: SpectralMeasure) -> float:
    """1 % of the range of the nodes; for a single node, 1e-9 of its size."""
    low, high = float(measure.nodes.min()), float(measure.nodes.max())
    return max(0.01 * (high - low), 1e-9 * max(abs(low), abs(high), 1e-300))


def one_eigenvalue_height(dim: int, bandwidth: float) -> float:
    """Peak of a single smoothed eigenvalue among ``dim``: ``1/(P·bandwidth·√2π)``; below it no density is resolved.

    >>> round(one_eigenvalue_height(100, 0.5), 5)
    0.00798
    """
    return 1.0 / (dim * bandwidth * math.sqrt(2 * math.pi))


def density_on_grid(
    measure: SpectralMeasure, *, grid: Array | None = None, bandwidth: float | None = None
) -> tuple[Array, Array]:
    """Density of the eigenvalues on a grid that covers every node of every probe.

    Parameters
    ----------
    measure : SpectralMeasure
        Nodes and weights ``(R, T)``.
    grid : (G,) array, optional
        Left out: equally spaced over all nodes and four bandwidths beyond, ten points per bandwidth.
    bandwidth : float, optional
        Standard deviation of the Gaussian, in units of the eigenvalue; see :func:`default_bandwidth`.

    Returns
    -------
    grid, density : (G,) arrays
        Area 1 over the default grid; multiply by P to count eigenvalues.

    Raises
    ------
    UsageError
        If the bandwidth is not positive.
    """
    width = default_bandwidth(measure) if bandwidth is None else float(bandwidth)
    if not width > 0:
        raise UsageError(f"bandwidth={bandwidth!r} must be positive: the width of the smoothing, in eigenvalue units")
    if grid is None:
        low, high = float(measure.nodes.min()) - 4 * width, float(measure.nodes.max()) + 4 * width
        # ten points per bandwidth resolve a Gaussian; the cap keeps a tiny bandwidth from exhausting memory
        grid = np.linspace(low, high, int(np.clip(10 * (high - low) / width, 200, 20_000)))
    return measure.density(grid, width)


def plot_spectrum(
    measure: SpectralMeasure | None,
    *,
    eigenpairs: Eigenpairs | None = None,
    bandwidth: float | None = None,
    color: str = DENSITY_COLOR,
    ax: Axes | None = None,
) -> Axes:
    """Spectral density on a logarithmic axis, eigenvalues as sticks with residual bars below it.

    The curve ends where it falls below the height of one eigenvalue: what a logarithmic axis shows beneath is the tail
    of the kernel, not of the spectrum. Eigenvalues that did not converge have open heads.

    Parameters
    ----------
    measure : SpectralMeasure or None
        None draws the eigenvalues alone.
    eigenpairs : Eigenpairs, optional
        Bars are ``λ ± residual``; an eigenvalue lies within each.
    bandwidth : float, optional
        See :func:`density_on_grid`.

    Raises
    ------
    UsageError
        If there is neither a density nor an eigenvalue to draw.
    """
    if measure is None and eigenpairs is None:
        raise UsageError("nothing to draw: pass a SpectralMeasure, or eigenpairs=, or both")
    own = ax is None
    ax = axes_or_new(ax)
    floor, top = (1.0, 10.0) if measure is None else _draw_density(ax, measure, bandwidth, color)
    # the strip for the sticks is a fifth of the axis, whatever the span of the density
    bottom = floor / (top / floor) ** 0.25
    ax.set_yscale("log")
    ax.set_ylim(bottom, top)
    if eigenpairs is not None:
        _draw_sticks(ax, eigenpairs, bottom, floor)
    if measure is None:
        ax.yaxis.set_visible(False)
        ax.spines["left"].set_visible(False)
    else:
        ax.set_yticks([t for t in ax.get_yticks() if floor <= t <= top])
        ax.tick_params(axis="y", which="minor", left=False)
        ax.set_ylabel("density (1/λ), cut at\none eigenvalue's height")
    ax.set_xlabel("eigenvalue λ (loss/parameter²)")
    if own:
        legend_outside(ax)
    return ax


def _draw_density(ax: Axes, measure: SpectralMeasure, bandwidth: float | None, color: str) -> tuple[float, float]:
    """Curve and floor; returns the floor and the upper limit of the axis."""
    width = default_bandwidth(measure) if bandwidth is None else bandwidth
    grid, density = density_on_grid(measure, bandwidth=width)
    floor = one_eigenvalue_height(measure.dim, width)
    shown = density >= floor
    ax.fill_between(grid, floor, density, where=shown.tolist(), color=color, alpha=0.25, linewidth=0)
    label = f"density, bandwidth {width:.2g}"
    ax.plot(grid, np.where(shown, density, np.nan), color=color, linewidth=1, label=label)
    ax.axhline(floor, color=REFERENCE_COLOR, linewidth=0.6, linestyle=(0, (1, 2)), label="height of one eigenvalue")
    return floor, 2.0 * max(float(density.max()), 10 * floor)


def _draw_sticks(ax: Axes, pairs: Eigenpairs, bottom: float, floor: float) -> None:
    """Sticks in the strip below the floor; the bar at the head is the residual."""
    head = bottom * (floor / bottom) ** 0.6
    ax.vlines(pairs.values, bottom, head, color=EIGENVALUE_COLOR, linewidth=0.9)
    converged = pairs.converged.astype(bool)
    for done, face, label in ((True, EIGENVALUE_COLOR, "eigenvalue ± residual"), (False, "white", "not converged")):
        chosen = converged == done
        if chosen.any():
            ax.errorbar(
                pairs.values[chosen],
                np.full(int(chosen.sum()), head),
                xerr=pairs.bounds[chosen],
                fmt="o",
                markersize=2.6,
                color=EIGENVALUE_COLOR,
                markerfacecolor=face,
                elinewidth=0.9,
                capsize=1.8,
                label=label,
            )
