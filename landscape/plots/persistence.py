"""The basins of a surface: their persistence diagram, and the topological landscape profile."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from landscape.checks import check_choice
from landscape.plots.labels import figure_text
from landscape.plots.legends import legend_outside
from landscape.plots.paper_styles import letters
from landscape.plots.style import (
    EIGENVALUE_COLOR,
    FREE,
    GAP_COLOR,
    PALETTE,
    REFERENCE_COLOR,
    axes_or_new,
    is_wide,
    plain_log_ticks,
)
from landscape.results import Persistence
from landscape.results.base import Array
from landscape.results.persistence import LOG10, least_persistence

_STEPS = 201
#: Of the height shown, that the highest saddle stands at, at least.
_ROOM = 0.75


def plot_persistence(found: Persistence, *, kind: str = "diagram", ax: Axes | None = None) -> Axes:
    """The persistence diagram of a surface, or its topological landscape profile.

    Parameters
    ----------
    found : Persistence
    kind : {"diagram", "profile"}
        ``"diagram"``: each basin by the height of its minimum and of its saddle; in the grey band along the diagonal
        the error of the surface leaves open whether there is one. Triangles join no other. ``"profile"``: valleys side
        by side, each as deep as its basin and as wide as that is large; the bar at a minimum is the error.
    """
    check_choice("kind", kind, ("diagram", "profile"))
    return (_plot_diagram if kind == "diagram" else _plot_profile)(found, ax)


def _plot_diagram(found: Persistence, ax: Axes | None) -> Axes:
    own = ax is None
    ax = axes_or_new(ax, height=2.7)
    joins = np.isfinite(found.deaths)
    rings = found.rings[np.isfinite(found.rings[:, 1])]
    heights = np.concatenate([found.births, found.deaths[joins], rings.ravel()])
    low, high = _limits(found, heights)
    _draw_band(ax, found, low, high)
    look: dict[str, Any] = {"color": EIGENVALUE_COLOR, "markersize": 4.5, "linestyle": "none"}
    for chosen, face, label in (
        (joins & found.decided, EIGENVALUE_COLOR, "basin"),
        (joins & ~found.decided, "white", "left open by the error"),
    ):
        if chosen.any():
            ax.plot(found.births[chosen], found.deaths[chosen], "o", markerfacecolor=face, label=label, **look)
    ax.plot(found.births[~joins], np.full((~joins).sum(), high), "^", label="joins no other", clip_on=False, **look)
    if rings.size:
        look["color"] = PALETTE["sgd"].color
        ax.plot(rings[:, 0], rings[:, 1], "s", markerfacecolor="none", label="ring around a hill", **look)
    for which, axis in (("x", ax.xaxis), ("y", ax.yaxis)):
        _scale_axis(ax, found, which, heights)
        getattr(ax, f"set_{which}lim")(low, high)
        if getattr(ax, f"get_{which}scale")() == "log":
            plain_log_ticks(axis)
        else:
            axis.set_major_locator(ticker.MaxNLocator(4))
    ax.set_aspect("equal")
    ax.set_xlabel(f"minimum ({figure_text(found.of)})")
    ax.set_ylabel(f"saddle ({figure_text(found.of)})")
    ax.set_title(_title(found))
    if own:
        legend_outside(ax)
    return ax


def _limits(found: Persistence, heights: Array) -> tuple[float, float]:
    """Both axes of the diagram, with some room around what stands in it."""
    low, high = float(heights.min()), float(heights.max())
    if found.scale != LOG10 and is_wide(heights):
        room = (high / low) ** 0.1
        return low / room, high * room
    room = 0.1 * (high - low) or 0.1 * abs(high) or 1.0
    return low - room, high + room


def _draw_band(ax: Axes, found: Persistence, low: float, high: float) -> None:
    """What the error leaves open, above the diagonal."""
    along = np.geomspace(low, high, _STEPS) if low > 0 else np.linspace(low, high, _STEPS)
    # Of the saddle's height, which is the diagonal's but for the error itself.
    reach = along + least_persistence(along, found.error if np.isfinite(found.error) else np.inf, found.scale)
    ax.fill_between(along, along, np.minimum(reach, high), color=GAP_COLOR, alpha=0.6, linewidth=0, zorder=0.5)
    ax.fill_between(along, np.full_like(along, low), along, color=GAP_COLOR, alpha=0.15, linewidth=0, zorder=0.4)
    ax.plot(along, along, color=REFERENCE_COLOR, linewidth=0.7, zorder=0.6)


def _scale_axis(ax: Axes, found: Persistence, which: str, heights: Array) -> None:
    """Logarithmic where the heights are positive and spread, and are not logarithms already."""
    if found.scale != LOG10 and is_wide(heights):
        getattr(ax, f"set_{which}scale")("log")


def _plot_profile(found: Persistence, ax: Axes | None) -> Axes:
    own = ax is None
    ax = axes_or_new(ax, height=2.4)
    edges, heights, basins = found.profile()
    edges = 100 * edges / edges[-1]
    finite = heights[np.isfinite(heights)]
    logarithmic = found.scale != LOG10 and is_wide(finite)
    top = _top(found, finite, logarithmic=logarithmic)
    for number, k in enumerate(np.flatnonzero(found.decided).tolist(), start=1):
        color = PALETTE[FREE[number % len(FREE)]].color
        # Those that it joined are painted over it, each up to its saddle.
        inside, cap = _extent(found, basins, k), min(found.deaths[k], top)
        level = np.append(np.minimum(heights, cap), np.nan)
        ax.fill_between(edges, level, cap, where=inside, step="post", color=_pale(color), linewidth=0)
        place = _middle_of_lowest(edges, heights, basins == k)
        known = np.isfinite(found.error) and found.error > 0
        ax.errorbar(place, found.births[k], yerr=found.error if known else None, fmt="o", color=color, markersize=3.5,
                    capsize=2)  # fmt: skip
        ax.annotate(str(k), (place, found.births[k]), xytext=(5, -3), textcoords="offset points", fontsize=letters(7))
    ax.stairs(np.minimum(heights, top), edges, color=REFERENCE_COLOR, linewidth=0.8, baseline=None)
    if logarithmic:
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
    else:
        ax.yaxis.set_major_locator(ticker.MaxNLocator(4))
    ax.margins(y=0.18)
    ax.set_ylim(top=top)
    ax.set_xlim(0, 100)
    ax.set_xlabel(f"share of the {'area' if len(found.y) > 1 else 'length'} (%)")
    ax.set_ylabel(figure_text(found.of))
    ax.set_title(_title(found))
    if own:
        ax.grid(axis="y", color="#E6E6E6", linewidth=0.6)
        ax.set_axisbelow(True)
    return ax


def _top(found: Persistence, known: Array, *, logarithmic: bool) -> float:
    """Where the profile is cut: so low that the saddles can be told apart, and never below one of them."""
    saddles = found.deaths[found.decided & np.isfinite(found.deaths)]
    low, high = float(known.min()), float(known.max())
    if not saddles.size:
        return high
    saddle = float(saddles.max())
    above = low * (saddle / low) ** (1 / _ROOM) if logarithmic else low + (saddle - low) / _ROOM
    return min(high, above)


def _extent(found: Persistence, basins: Array, basin: int) -> Array:
    """Edges of the bars of a basin and of all that it joined, with what stands between them, (B + 1,) of bool."""
    members = {basin}
    for k in range(basin + 1, len(found)):  # a basin stands after the one that it joins
        if int(found.parent[k]) in members:
            members.add(k)
    bars = np.flatnonzero(np.isin(basins, list(members)))
    inside = np.zeros(len(basins) + 1, dtype=bool)
    inside[bars[0] : bars[-1] + 2] = True  # a bar reaches to the next edge
    return inside


def _pale(color: str) -> tuple[float, ...]:
    return tuple(0.25 * part + 0.75 for part in to_rgb(color))


def _middle_of_lowest(edges: Array, heights: Array, inside: Array) -> float:
    lowest = np.flatnonzero(inside & (heights == heights[inside].min()))
    return float((edges[lowest[0]] + edges[lowest[-1] + 1]) / 2)


def _title(found: Persistence) -> str:
    words = "basin" if found.count == 1 else "basins"
    return f"{found.count} {words}" + (f" (up to {found.most})" if found.most > found.count else "")
