"""Basins of a surface that was evaluated, with what its error leaves undecided."""

from __future__ import annotations

import numpy as np

from landscape.checks import check_choice, check_not_negative
from landscape.errors import UsageError
from landscape.results import LineSlice, PathSlice, Persistence, PlaneSlice
from landscape.results.base import Array
from landscape.results.interpolated import is_interpolated
from landscape.results.persistence import LOG10, least_persistence
from landscape.topology.merge_tree import merge_tree
from landscape.topology.rings import rings as rings_of

_LEAST = 5  # points along each side of which every second is looked at


def persistence(
    surface: PlaneSlice | LineSlice | PathSlice,
    *,
    scale: str = "loss",
    metric: str | None = None,
    error: float | None = None,
    rings: bool = False,
) -> Persistence:
    r"""Basins of the loss on a surface, the saddles over which they join, and how many of them are certain.

    As a level rises, ``{L ≤ level}`` gains a component at each minimum, and two become one at a saddle, where the basin
    with the higher minimum ends. A basin counts where its saddle is more than twice the error of the surface above its
    minimum: however the surface differs from the truth within that error, the truth has it, too (Cohen-Steiner,
    Edelsbrunner & Harer 2007).

    Parameters
    ----------
    surface : PlaneSlice, LineSlice or PathSlice
        As :func:`~landscape.geometry.evaluate_plane` and the like give it, or :func:`~landscape.exchange.read_surface`.
        Points that are not finite are walls.
    scale : {"loss", "log10"}
        Of the heights. The tree is the same; on ``"log10"`` depths and errors are factors, which judges basins near a
        deep minimum by the surface's ``error_log10``.
    metric : str, optional
        A metric of the surface that is a loss, such as that of test data, in place of its loss.
    error : float, optional
        Largest error of a height; left out, as the surface states it, 0 where every point was evaluated on all data.
        What float32 rounds is left open in any case.
    rings : bool
        Also look for rings of low loss around hills, by GUDHI (``pip install 'landscape-curvature[topology]'``).

    Returns
    -------
    Persistence
        ``.count`` basins are certain, ``.most`` the most there can be of that depth; ``.births``, ``.deaths``,
        ``.minimum_xy``, ``.saddle_xy``, ``.parent``, ``.areas``; ``.plot()`` is the persistence diagram,
        ``.plot(kind="profile")`` the topological landscape profile. Costs no evaluation; n log n for n points.

    Raises
    ------
    UsageError
        If ``surface`` is none, has no finite value, or is not positive where logarithms are asked for; if a metric is
        not there, is no loss, or has an error that nobody stated; if GUDHI is needed and not installed.

    References
    ----------
    Edelsbrunner, Letscher & Zomorodian (2002), Discrete Comput. Geom. 28; Cohen-Steiner, Edelsbrunner & Harer (2007),
    Discrete Comput. Geom. 37, main theorem, for the error; Geniesse et al. (2024), arXiv:2411.12136, for the profile.

    Examples
    --------
    >>> t = np.linspace(-1.5, 1.5, 31)
    >>> well = LineSlice(t, (t**2 - 1) ** 2 + 0.1 * t, "a double well", 1.0, error=0.05)
    >>> print(persistence(well))
    basins              2 of the loss on 31 points
    basin 0             lowest -0.1 at t = -1; 100 % of the length
    basin 1             0.90 ± 0.10 deep: 0.1 at t = 1, joins 0 over 1 at t = 0; 43.3 % of the length
    error               0.05, as the surface states it; what is not twice as deep is not counted
    every second point  has 2, too
    """
    check_choice("scale", scale, ("loss", LOG10))
    heights = _heights(surface, metric, scale)
    error, whose = _error(surface, metric, scale, error)
    x, y = (surface.t, np.zeros(1)) if isinstance(surface, LineSlice) else (surface.x, surface.y)
    tree = merge_tree(heights)
    circles, places = rings_of(heights) if rings else (np.empty((0, 2)), np.empty((0, 2, 2), dtype=np.int64))
    return Persistence(
        x=np.asarray(x, dtype=float),
        y=np.asarray(y, dtype=float),
        values=heights,
        births=tree.births,
        deaths=tree.deaths,
        minimum_at=_rows_and_columns(tree.minima, heights.shape),
        saddle_at=_rows_and_columns(tree.saddles, heights.shape),
        parent=tree.parents,
        branch=tree.branches,
        error=error,
        error_from=whose,
        of=(metric or "loss") if scale != LOG10 else f"log₁₀ of the {metric or 'loss'}",
        scale=scale,
        count_on_half=_count_on_half(heights, error, scale),
        rings=circles,
        ring_at=places,
        has_rings=rings,
    )


def _heights(surface: PlaneSlice | LineSlice | PathSlice, metric: str | None, scale: str) -> Array:
    """(Y, X), of a line (1, M)."""
    if not isinstance(surface, (PlaneSlice, LineSlice, PathSlice)):
        raise UsageError(
            f"persistence() takes a surface that was evaluated, not a {type(surface).__name__}: "
            "persistence(evaluate_plane(objective, plane))"
        )
    values = np.asarray(surface.loss if metric is None else surface.metric(metric), dtype=float)
    if metric is not None and metric not in surface.metric_losses:
        raise UsageError(f"metric={metric!r} is no loss: it has no basins")
    known = values[np.isfinite(values)]
    if not known.size:
        raise UsageError(f"no point of this surface has a finite {metric or 'loss'}; there are no basins")
    if scale == LOG10:
        if known.min() <= 0:
            raise UsageError(f"scale='log10', but the lowest value is {known.min():.4g}; take scale='loss'")
        values = np.log10(np.where(np.isfinite(values), values, np.nan))
    return np.atleast_2d(values)


def _error(
    surface: PlaneSlice | LineSlice | PathSlice, metric: str | None, scale: str, error: float | None
) -> tuple[float, str]:
    """The error of the heights, and who says so."""
    if error is not None:
        return check_not_negative("error", error), "as given"
    if isinstance(surface, PathSlice):
        return 0.0, "every point was evaluated"
    if metric is not None and is_interpolated(surface):
        raise UsageError(
            f"the surface states an error of its loss, not of metric={metric!r}, interpolated as well: give error="
        )
    if not is_interpolated(surface) and surface.error == 0:
        return 0.0, "every point was evaluated"
    stated = surface.error_log10 if scale == LOG10 else surface.error
    return float(stated), "as the surface states it" + (" at 95 %" if surface.num_drawn else "")


def _count_on_half(heights: Array, error: float, scale: str) -> int:
    """How many basins count on every second point, the middle one among them."""
    if any(1 < length < _LEAST for length in heights.shape) or heights.shape[1] < _LEAST:
        return -1
    rows, columns = (slice((length - 1) // 2 % 2, None, 2) for length in heights.shape)
    tree = merge_tree(heights[rows, columns])
    return int((tree.deaths - tree.births > least_persistence(tree.deaths, error, scale)).sum())


def _rows_and_columns(places: Array, shape: tuple[int, ...]) -> Array:
    """(K, 2); -1 where there is no place."""
    found = np.stack(np.divmod(places, shape[1]), axis=-1)
    return np.where(places[:, None] < 0, -1, found)
