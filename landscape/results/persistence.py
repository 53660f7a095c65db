"""The basins of a surface: where they begin, over which saddles they join, and which of them its error leaves open."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.rounding import format_measured, format_value

#: The scale of heights on which a factor is a distance.
LOG10 = "log10"
#: Share of a loss that float32 has no digits for, which is the least that a surface leaves open.
ROUNDING = float(np.finfo(np.float32).eps)
_MOST_SHOWN = 6


def least_persistence(deaths: Array, error: float, scale: str) -> Array:
    """How much higher than its minimum a saddle must be for the basin to be there in spite of the error, (K,)."""
    rounding = ROUNDING / np.log(10) if scale == LOG10 else ROUNDING * np.abs(deaths)
    bound = np.where(np.isfinite(deaths), 2 * (error + rounding), 0.0)
    return np.where(np.isnan(bound), np.inf, bound)


def _no_rings() -> Array:
    return np.empty((0, 2))


def _no_places() -> Array:
    return np.empty((0, 2, 2), dtype=np.int64)


@dataclass(frozen=True, eq=False, repr=False)
class Persistence(Record):
    """The basins of a surface: components of ``{L ≤ ℓ}`` that begin at minima and join at saddles as ℓ rises.

    ``K`` basins, the most persistent first; where two join, the one with the higher minimum ends. All of it is of the
    points of the grid, of which each is joined to its neighbours in its row and its column: nothing is known of what
    lies between them, and a saddle on the grid is as high as its lowest point or higher.

    Attributes
    ----------
    x : (X,) array
    y : (Y,) array
        Coordinates; of a line x is its t, and y a single 0.
    values : (Y, X) array
        The heights: the loss, or its log₁₀. What is not finite is a wall that nothing crosses.
    births, deaths : (K,) arrays
        Height of each minimum, and of the saddle over which its basin joins one with a lower minimum; ∞ where it joins
        none, as the lowest of each part of the surface that walls leave connected.
    minimum_at, saddle_at : (K, 2) arrays of int
        Rows and columns of these; -1 where there is no saddle.
    parent : (K,) array of int
        Which basin it joins; -1 where none.
    branch : (Y, X) array of int
        The basin that each point belongs to as the level reaches it, the lower one from their saddle upwards; -1 in
        walls.
    error : float
        Largest error of the heights. A basin counts if its saddle is more than twice that above its minimum.
    error_from : str
        Whose word that is.
    of : str
        What the heights are of.
    scale : str
        ``"loss"`` or ``"log10"``.
    count_on_half : int
        How many basins count on every second point of the grid; -1 where that has too few points.
    rings : (H, 2) array
        Births and deaths of rings: closed ways at a level around a hill that ends above it; ∞ around walls.
    ring_at : (H, 2, 2) array of int
        Row and column where each closes, and of the top of its hill or a wall.
    has_rings : bool
        Whether rings were looked for.
    """

    x: Array
    y: Array
    values: Array
    births: Array
    deaths: Array
    minimum_at: Array
    saddle_at: Array
    parent: Array
    branch: Array
    error: float
    error_from: str
    of: str = "loss"
    scale: str = "loss"
    count_on_half: int = -1
    rings: Array = field(default_factory=_no_rings)
    ring_at: Array = field(default_factory=_no_places)
    has_rings: bool = False

    def __len__(self) -> int:
        return len(self.births)

    @property
    def persistence(self) -> Array:
        """(K,): how far each saddle is above its minimum; ∞ for basins that join none."""
        return np.asarray(self.deaths - self.births)

    @property
    def decided(self) -> Array:
        """(K,) of bool: whether a basin is there whatever the truth within the error.

        Diagrams of two surfaces that differ by ε at most can be matched so that no birth or death moves by more than ε
        (Cohen-Steiner, Edelsbrunner & Harer 2007, main theorem): more than 2ε cannot vanish. Beside ``error`` there is
        what float32 rounds.
        """
        return np.asarray(self.persistence > least_persistence(self.deaths, self.error, self.scale))

    @property
    def count(self) -> int:
        """The least number of basins that the true surface has on this grid."""
        return int(self.decided.sum())

    @property
    def most(self) -> int:
        """The largest number of basins deeper than twice the error that it can have: all that are seen."""
        return len(self)

    @property
    def minimum_xy(self) -> Array:
        """(K, 2): x and y of each minimum."""
        return self._xy(self.minimum_at)

    @property
    def saddle_xy(self) -> Array:
        """(K, 2): x and y of each saddle; NaN where there is none."""
        return np.where(self.saddle_at[:, :1] < 0, np.nan, self._xy(self.saddle_at))

    @property
    def areas(self) -> Array:
        """(K,): area of each basin up to its saddle, with the basins in it; of a line its length."""
        found = np.bincount(self.branch[self.branch >= 0], self._weights()[self.branch >= 0], minlength=len(self))
        for k in range(len(self) - 1, -1, -1):  # a basin stands after the one that it joins
            if self.parent[k] >= 0:
                found[self.parent[k]] += found[k]
        return found

    def region(self, basin: int) -> Array:
        """(Y, X) of bool: the points of a basin up to its saddle, with the basins in it.

        Raises
        ------
        UsageError
            If there is none of that number.
        """
        if basin not in range(len(self)):
            raise UsageError(f"no basin {basin!r}; there are {len(self)}, numbered from 0")
        inside = np.zeros(len(self) + 1, dtype=bool)  # the last place is that of walls
        for k in range(basin, len(self)):
            inside[k] = k == basin or (self.parent[k] >= 0 and inside[self.parent[k]])
        return np.asarray(inside[self.branch])

    def profile(self, *, undecided: bool = False) -> tuple[Array, Array, Array]:
        """The surface as a landscape of one dimension with the same basins: its topological landscape profile.

        Below each level it is as wide as the surface has area, and a valley is as wide as its basin is large, and as
        deep (Geniesse et al. 2024, arXiv:2411.12136). Points of a basin stand to both sides of its minimum, by their
        height; a saddle stands between what it joins. Parts that walls hold apart stand apart.

        Parameters
        ----------
        undecided : bool
            Also valleys of basins that the error leaves open; else their points stand in the basin that they join.

        Returns
        -------
        edges : (B + 1,) array
            Where bars begin and end, from 0 to the whole area, that of walls only between parts.
        heights : (B,) array
            NaN between parts.
        basins : (B,) array of int
            Which one each bar belongs to, -1 between parts.
        """
        weights = self._weights().ravel()
        branch = self._branches(undecided=undecided).ravel()
        parts = _bars(self, branch, weights, self.decided | undecided)
        walls = weights[branch < 0].sum() / max(len(parts) - 1, 1)
        gap = [(-1, walls)]
        bars = [bar for i, part in enumerate(parts) for bar in (gap if i else []) + list(part)]
        places = np.array([place for place, _ in bars], dtype=np.int64)
        edges = np.concatenate([[0.0], np.cumsum([width for _, width in bars])])
        heights = np.where(places < 0, np.nan, self.values.ravel()[places])
        return edges, heights, np.where(places < 0, -1, branch[places])

    def _branches(self, *, undecided: bool) -> Array:
        """(Y, X): ``branch``, where points of undecided basins may belong to the one that these join."""
        names = np.arange(len(self) + 1)
        names[-1] = -1  # that of walls
        if not undecided:
            for k in np.flatnonzero(~self.decided).tolist():
                names[k] = names[self.parent[k]]
        return np.asarray(names[self.branch])

    def _weights(self) -> Array:
        """(Y, X): the area that stands for each point, which ends halfway to the next."""
        return np.outer(_half_cells(self.y), _half_cells(self.x))

    def _xy(self, at: Array) -> Array:
        return np.stack([self.x[at[:, 1]], self.y[at[:, 0]]], axis=1)

    def _place(self, xy: Array) -> str:
        shown = [format_value(float(value), digits=3) for value in (xy if len(self.y) > 1 else xy[:1])]
        return f"({', '.join(shown)})" if len(shown) > 1 else f"t = {shown[0]}"

    def _lines(self) -> list[tuple[str, str]]:
        spread = f"{self.count}" + (f" (up to {self.most})" if self.most > self.count else "")
        lines = [("basins", f"{spread} of the {self.of} on {self._grid()}")]
        shares, whole = self.areas, self._weights().sum()
        shown = np.flatnonzero(self.decided)[:_MOST_SHOWN].tolist()
        for k in shown:
            low = f"{format_value(float(self.births[k]))} at {self._place(self.minimum_xy[k])}"
            share = f"{100 * shares[k] / whole:.3g} % of the {'area' if len(self.y) > 1 else 'length'}"
            if self.parent[k] < 0:
                lines.append((f"basin {k}", f"lowest {low}; {share}"))
                continue
            saddle = f"{format_value(float(self.deaths[k]))} at {self._place(self.saddle_xy[k])}"
            depth = format_measured(float(self.persistence[k]), 2 * self.error)
            lines.append((f"basin {k}", f"{depth} deep: {low}, joins {self.parent[k]} over {saddle}; {share}"))
        if self.count > len(shown):
            lines.append(("", f"and {self.count - len(shown)} more"))
        return lines + self._doubts()

    def _grid(self) -> str:
        points = f"{len(self.y)} × {len(self.x)}" if len(self.y) > 1 else f"{len(self.x)}"
        return f"{points} points"

    def _doubts(self) -> list[tuple[str, str]]:
        """What the count hangs on."""
        error = format_value(self.error, digits=2) if np.isfinite(self.error) else "unknown"
        lines = [("error", f"{error}, {self.error_from}; what is not twice as deep is not counted")]
        walls, parts = int((self.branch < 0).sum()), int((self.parent < 0).sum())
        if walls:
            apart = f", which hold {parts} parts apart" if parts > 1 else ""
            points = "point" if walls == 1 else "points"
            lines.append(("walls", f"{walls} {points} without a finite value{apart}"))
        if self.count_on_half >= 0:
            says = "too" if self.count_on_half == self.count else "so the count hangs on the grid"
            lines.append(("every second point", f"has {self.count_on_half}, {says}"))
        if self.has_rings:
            certain = self.rings[:, 1] - self.rings[:, 0] > least_persistence(self.rings[:, 1], self.error, self.scale)
            lines.append(("rings", f"{int(certain.sum())} around hills or walls"))
        return lines


Bars = deque[tuple[int, float]]


def _bars(found: Persistence, branch: Array, weights: Array, chosen: Array) -> list[Bars]:
    """For each part of the surface its points from left to right with their widths; ``chosen`` (K,) have valleys."""
    order = np.argsort(found.values.ravel(), kind="stable")
    order = order[branch[order] >= 0]
    by_basin = order[np.argsort(branch[order], kind="stable")]
    ends = np.cumsum(np.bincount(branch[order], minlength=len(found)))
    own = [places.tolist() for places in np.split(by_basin, ends[:-1])]
    joining: dict[int, list[int]] = {}
    for k in np.flatnonzero(chosen & (found.parent >= 0)).tolist():
        row, column = found.saddle_at[k].tolist()
        joining.setdefault(row * len(found.x) + column, []).append(k)
    built: dict[int, Bars] = {}
    for k in np.flatnonzero(chosen)[::-1].tolist():  # a basin stands after the one that it joins
        bars: Bars = deque()
        to_the_right = True
        for place in own[k]:
            guests = [built.pop(guest) for guest in joining.get(place, ())]
            if not guests:
                bars.appendleft((place, weights[place] / 2))
                bars.append((place, weights[place] / 2))
            for guest in guests:  # the saddle stands between
                saddle = place, weights[place] / len(guests)
                if to_the_right:
                    bars.extend([saddle, *guest])
                else:
                    bars.extendleft([saddle, *reversed(guest)])
                to_the_right = not to_the_right
        built[k] = bars
    return [built[k] for k in sorted(built)]


def _half_cells(places: Array) -> Array:
    """What lies nearer to each coordinate than to another, inside the grid; 1 for a single one."""
    if len(places) == 1:
        return np.ones(1)
    middles = (places[1:] + places[:-1]) / 2
    return np.diff(np.concatenate([places[:1], middles, places[-1:]]))
