"""Planes through positions in parameter space: of trainings, by their principal components; of three models.

``P`` parameters, ``S`` positions of all runs, ``L`` runs, ``W`` simulated walks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from landscape.errors import UsageError
from landscape.results.base import Array, Record
from landscape.rounding import format_value


def rows_of(name: str, names: Sequence[str], lengths: Array, *, kind: str) -> slice:
    """Which positions are of one of several paths; a UsageError where there is none of that name."""
    if name not in names:
        raise UsageError(f"no {kind} {name!r}; there are {', '.join(names)}")
    index = names.index(name)
    begin = int(lengths[:index].sum())
    return slice(begin, begin + int(lengths[index]))


@dataclass(frozen=True, eq=False, repr=False)
class PcaPlane(Record):
    """The plane that the positions of trainings span best, and how much of them lies in it.

    ``plane, coordinates, explained = pca_plane(run)`` takes it apart; ``plane`` is the record itself, which
    :func:`~landscape.evaluate_plane` takes as it is.

    Attributes
    ----------
    origin : (P,) array
        The point of the plane at x = y = 0: the mean of the positions, or what ``origin_name`` says.
    vectors : (P, 2) array
        Orthonormal principal components; x and y are distances in parameter space.
    coordinates : (S, 2) array
        (x, y) of each position's orthogonal projection, run by run.
    outside : (S,) array
        Distance of each position from the plane.
    explained : (2,) array
        Share of the positions' variance about their mean along each component, 0 … 1.
    names : tuple of str
    lengths : (L,) array of int
        Positions of each run.
    walks : (W, 2) array
        The same shares of simulated random walks with the steps of these runs: what says nothing about the loss.
    """

    origin: Array
    vectors: Array
    coordinates: Array
    outside: Array
    explained: Array
    names: tuple[str, ...]
    lengths: Array
    walks: Array
    origin_name: str = "mean"
    seed: int = 0

    def __iter__(self) -> Iterator[Any]:
        return iter((self, self.coordinates, self.explained))

    @property
    def share(self) -> float:
        """Share of the variance that lies in the plane."""
        return float(min(self.explained.sum(), 1.0))

    @property
    def baseline(self) -> tuple[float, float, float]:
        """The same of the simulated walks: their mean, and the range of 95 % of them."""
        return baseline_of(self.walks)

    @property
    def labels(self) -> tuple[str, str]:
        """What the axes are, in words."""
        first, second = (f"principal component {i + 1} ({100 * share:.0f} %)" for i, share in enumerate(self.explained))
        return first, second

    def path(self, name: str) -> Array:
        """(x, y) of the positions of one run, (T, 2).

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        return self.coordinates[rows_of(name, self.names, self.lengths, kind="run")]

    def _lines(self) -> list[tuple[str, str]]:
        each = " + ".join(f"{100 * share:.1f}" for share in self.explained)
        return [
            ("positions", ", ".join(f"{n} ({c})" for n, c in zip(self.names, self.lengths.tolist(), strict=True))),
            ("in the plane", f"{100 * self.share:.1f} % of their variance ({each})"),
            ("a random walk", walk_words(self.walks)),
            ("off the plane", f"at most {format_value(float(self.outside.max()), digits=3)}"),
            ("origin", self.origin_name),
        ]


@dataclass(frozen=True, eq=False, repr=False)
class ModelPlane(Record):
    """The plane through three models; :func:`~landscape.evaluate_plane` takes it as it is.

    Attributes
    ----------
    origin : (P,) array
        The point at x = y = 0: the middle of the smallest rectangle around the three, with sides along the axes.
    vectors : (P, 2) array
        Orthonormal: the first from the first model towards the second, the second on the side of the third.
    coordinates : (3, 2) array
        Where the three lie.
    thetas : (3, P) array
        The three, as they were given.
    names : tuple of str
    """

    origin: Array
    vectors: Array
    coordinates: Array
    thetas: Array
    names: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """What the axes are, in words."""
        a, b, c = self.names
        return f"from {a} to {b}", f"towards {c}"

    @property
    def distances(self) -> dict[tuple[str, str], float]:
        """Distance in parameter space between each two of them."""
        places = dict(zip(self.names, self.coordinates, strict=True))
        return {(m, n): float(np.linalg.norm(places[m] - places[n])) for m, n in combinations(self.names, 2)}

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("models", ", ".join(self.names))]
        for (m, n), length in self.distances.items():
            lines.append((f"‖{m} − {n}‖", format_value(length)))
        return [*lines, ("origin", "middle of the rectangle around them")]


def baseline_of(walks: Array) -> tuple[float, float, float]:
    """Mean share in the plane of simulated walks (W, 2), and the range of 95 % of them; NaN of none."""
    if not len(walks):
        return (float("nan"),) * 3
    both = walks.sum(axis=1)
    low, high = np.quantile(both, (0.025, 0.975))
    return float(both.mean()), float(low), float(high)


def walk_words(walks: Array) -> str:
    """``76.0 % (95 % of 100 walks: 75.1 … 76.9)``."""
    mean, low, high = (100 * share for share in baseline_of(walks))
    return f"{mean:.1f} % (95 % of {len(walks)} walks: {low:.1f} … {high:.1f})"
