"""Examples drawn by how much they can matter, and the objective on those of several samples together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from landscape.errors import ObjectiveError
from landscape.objective import Objective
from landscape.objective.functional import Parts

Array = np.ndarray
#: A random sign vector (P,) by its number.
Probe = Callable[[int], Tensor]


@dataclass(frozen=True)
class Sample:
    """The examples that one sample is of, by what each is multiplied, and the chance that is this sample's alone."""

    rows: Array  # (n,)
    factors: Array  # (n,)
    rng: np.random.Generator
    probe: Probe


@dataclass(frozen=True)
class Run:
    """Examples of a chunk that are of one sample."""

    sample: int
    rows: slice


@dataclass(frozen=True)
class Drawn:
    """Drawn examples in chunks, sample after sample.

    ``factors[i]`` (m,) makes the mean over chunk i an unbiased part of the whole sum; ``runs[i]`` says whose it is.
    """

    parts: Parts
    factors: list[Tensor]
    count: int
    chunk: int
    runs: list[list[Run]] = field(default_factory=list)


class Chances:
    """Numbers in [0, 1) for the examples of a chunk, those of each sample from its own stream, in their order.

    So a sample is the same in whatever company, and however it is cut into chunks.
    """

    def __init__(self, samples: Sequence[Sample], runs: Sequence[Run]) -> None:
        self._streams = [(samples[run.sample].rng, run.rows.stop - run.rows.start) for run in runs]

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Of the shape (m, …), float64."""
        return torch.from_numpy(np.concatenate([rng.random((count, *shape[1:])) for rng, count in self._streams]))


class Drawing:
    """Draws examples of an objective, each expected as often as its size says (Horvitz & Thompson 1952, JASA 47)."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective

    def on(self, samples: Sequence[Sample], chunk: int) -> Drawn:
        """The objective on the examples of all samples, in chunks of ``chunk``."""
        rows, factors = (np.concatenate([getattr(s, name) for s in samples]) for name in ("rows", "factors"))
        objective = self._objective
        part = objective.on_batches([objective.batches.pick(rows)]).rechunked(chunk)
        weights = [part.weigh(piece) / objective.total_weight for piece in part.batches.cut(chunk)]
        if min(weights) <= 0:
            raise ObjectiveError("examples were drawn that have no weight in the loss")
        pieces = np.split(factors, np.arange(chunk, len(rows), chunk))
        scaled = [torch.from_numpy(own) * weight for own, weight in zip(pieces, weights, strict=True)]
        return Drawn(part.parts(), scaled, len(rows), chunk, _runs([len(s.rows) for s in samples], chunk))


def _runs(sizes: Sequence[int], chunk: int) -> list[list[Run]]:
    """Which rows of each chunk are of which sample."""
    found: list[list[Run]] = [[] for _ in range(-(-sum(sizes) // chunk))]
    place = 0
    for sample, size in enumerate(sizes):
        end = place + size
        while place < end:
            index, first = divmod(place, chunk)
            last = min(chunk, first + end - place)
            found[index].append(Run(sample, slice(first, last)))
            place += last - first
    return found


def pick(sizes: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """``count`` examples in an order by chance, and by what each is multiplied.

    Where that is at least as many as there are, each is taken a fixed number of times, and which they are is left to
    chance no more.
    """
    there = np.flatnonzero(sizes > 0)
    if 0 < len(there) <= count:
        times = _quotas(sizes[there], count)
        rows, factors = np.repeat(there, times), np.repeat(1 / times, times)
    else:
        rows, factors = systematic(sizes, count, rng)
    order = rng.permutation(len(rows))  # neighbours are alike in size; those of a cell need not be
    return rows[order], factors[order]


def _quotas(sizes: Array, count: int) -> Array:
    """How often each is taken: once, and what is left by size, to the next whole number (largest remainders)."""
    wanted = (count - len(sizes)) * sizes / sizes.sum()
    times: Array = np.floor(wanted).astype(np.int64)
    left = count - len(sizes) - int(times.sum())
    times[np.argsort(times - wanted, kind="stable")[:left]] += 1
    times += 1
    return times


def systematic(sizes: Array, count: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """``count`` examples, and by what each is multiplied, ``1/(count·π)`` with π its size over the sum of all.

    Systematic along the examples in order of size (Madow 1949, Ann. Math. Statist. 20): as if stratified by it. One
    call is one random start, so that only several of them show the spread.
    """
    if not float(sizes.sum()) > 0:
        return np.arange(count) % len(sizes), np.zeros(count)
    order = rng.permutation(len(sizes))
    order = order[np.argsort(sizes[order], kind="stable")]
    heights = np.cumsum(sizes[order])
    places = (rng.random() + np.arange(count)) / count * heights[-1]
    rows = order[np.minimum(np.searchsorted(heights, places, side="right"), len(sizes) - 1)]
    return rows, heights[-1] / (count * sizes[rows])
