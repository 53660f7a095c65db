"""Figures of the loss around and between minima: lines, planes, interpolations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from landscape.plots.arrays import ResultsLike, RunLike, by_label, group_word, last_lines, last_record
from landscape.plots.drawing import Drawing, count_words, drawn, gap_sentence, seeds_words
from landscape.plots.lines import rise
from landscape.plots.recipes_of_slices import (
    contour,
    interpolation,
    plane_eigen,
    plane_pca,
    slice_eigenvector,
    slice_eigenvector_together,
    slice_random,
    surface,
)
from landscape.plots.surface import surface_heights
from landscape.results import LineSlice, PathSlice, PlaneSlice
from landscape.results.batch_statistics import sentences
from landscape.results.interpolated import evaluation_sentence
from landscape.results.planes import baseline_of
from landscape.results.reach import reaches
from landscape.rounding import format_value


def line_figures(results: ResultsLike) -> Iterator[Drawing]:
    """Slices along the top eigenvector, a panel per group; medians and bands over random directions."""
    groups = by_label(results.runs)
    top = {n: [s for r in g if (s := last_record(r, "line_eigenvector_1", LineSlice))] for n, g in groups.items()}
    top = {name: lines for name, lines in top.items() if lines}
    if top:
        yield _eigenvector_figure(results, top)
        if len(top) > 1:
            yield _together_figure(results, top)
    random = {name: [s for run in group for s in last_lines(run, "line_random_")] for name, group in groups.items()}
    random = {name: lines for name, lines in random.items() if lines}
    if random:
        yield _random_figure(results, random)


def _eigenvector_figure(results: ResultsLike, top: dict[str, list[LineSlice]]) -> Drawing:
    every = [line for lines in top.values() for line in lines]
    groups = by_label(results.runs)
    return drawn(
        results,
        slice_eigenvector,
        name="slice_eigenvector",
        title="Along the sharpest direction",
        caption="Rise of the loss along the eigenvector u₁ of the largest eigenvalue, at the last checkpoint; each "
        f"line is one seed ({seeds_words(groups[name] for name in top)}). Dashed: ½t²λ, what the Hessian alone "
        "predicts; where the "
        "loss leaves it, higher orders act. The sign of an eigenvector, and so left and right, is arbitrary."
        f"{_how_made(every)}",
        groups=list(top),
    )


def _together_figure(results: ResultsLike, top: dict[str, list[LineSlice]]) -> Drawing:
    every = [line for lines in top.values() for line in lines]
    groups = by_label(results.runs)
    return drawn(
        results,
        slice_eigenvector_together,
        name="slice_eigenvector_together",
        title="Along the sharpest direction, all on one axis",
        caption="Rise of the loss along the eigenvector u₁ of the largest eigenvalue, at the last checkpoint "
        f"({seeds_words(groups[name] for name in top)}): the line is the median over seeds, the band reaches from the "
        "lowest to the highest. The sign of an eigenvector is arbitrary; each line is turned so that the loss rises "
        "more to the right. Each optimizer has its own u₁ and its own loss at t = 0, and one distance for all."
        f"{_how_made(every)}",
    )


def _random_figure(results: ResultsLike, random: dict[str, list[LineSlice]]) -> Drawing:
    groups = by_label(results.runs)
    per_run = sorted({len(last_lines(run, "line_random_")) for name in random for run in groups[name]} - {0})
    directions = " to ".join(str(n) for n in per_run)
    every = [line for lines in random.values() for line in lines]
    lengths = [line.step_norm for line in every]
    return drawn(
        results,
        slice_random,
        name="slice_random",
        title="Along random directions",
        caption=f"Rise of the loss along random filter-normalised directions: {directions} per run, "
        f"{seeds_words(groups[name] for name in random)}. The line is the median over directions and seeds, the band "
        "reaches from the lowest to the highest. One unit of t is the length of the direction, "
        f"{format_value(min(lengths), digits=3)} to {format_value(max(lengths), digits=3)} in parameter space."
        f"{_how_made(every)}",
    )


def _how_made(lines: Sequence[LineSlice]) -> str:
    """What the caption of any figure of slices ends with."""
    return f"{evaluation_sentence(lines)}{_statistics(lines)}{gap_sentence(sum(rise(line)[1] for line in lines))}"


def plane_figures(results: ResultsLike) -> Iterator[Drawing]:
    """Contours and surfaces of planes, and paths over theirs: the first seed of every group."""
    if found := _first_planes(results.runs, "plane"):
        yield _contour_figure(results, found)
        yield _surface_figure(results, found)
    if found := _first_planes(results.runs, "plane_eigen"):
        yield _eigen_figure(results, found)
    if paths := _of_first_seed(results.runs, "plane_pca", PathSlice):
        yield _path_figure(results, paths)


def _first_planes(runs: Sequence[RunLike], name: str) -> list[tuple[RunLike, PlaneSlice]]:
    """Those whose loss differs anywhere."""
    found = _of_first_seed(runs, name, PlaneSlice)
    return [(run, plane) for run, plane in found if np.unique(_finite(plane)).size > 1]


def _of_first_seed(runs: Sequence[RunLike], name: str, kind: type[Any]) -> list[tuple[RunLike, Any]]:
    """A record of the last checkpoint, of the first run of each group that has it."""
    found = []
    for group in by_label(runs).values():
        found += [(run, record) for run in group if (record := last_record(run, name, kind)) is not None][:1]
    return found


def _contour_figure(results: ResultsLike, found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    planes = [plane for _, plane in found]
    gaps = sum(plane.loss.size - _finite(plane).size for plane in planes)
    grey = f" Grey: {count_words(gaps, 'point')} where the loss is not finite." if gaps else ""
    return drawn(
        results,
        contour,
        name="contour",
        title="The loss on a plane",
        caption="Loss on the plane spanned by two random filter-normalised directions, for one run per "
        f"{group_word(run for run, _ in found)} at its last checkpoint (cross). Levels are log-spaced and the same in "
        "all panels; x and y count lengths of their "
        f"direction.{evaluation_sentence(planes)}{_statistics(planes, of='planes')}{grey}",
        names=[run.name for run, _ in found],
    )


def _surface_figure(results: ResultsLike, found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    scale = "logarithmic" if all(surface_heights(plane)[1] for _, plane in found) else "linear"
    gaps = sum(plane.loss.size - _finite(plane).size for _, plane in found)
    return drawn(
        results,
        surface,
        name="surface",
        title="The loss surface",
        caption=f"The same loss over the same plane in three dimensions, with one {scale} vertical axis for all "
        f"panels.{gap_sentence(gaps)}",
        names=[run.name for run, _ in found],
    )


def _eigen_figure(results: ResultsLike, found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    """Each with a radius and levels of its own, since curvatures differ by orders of magnitude."""
    planes = [plane for _, plane in found]
    reach = [share for plane in planes for _, _, share in reaches(plane)]
    return drawn(
        results,
        plane_eigen,
        name="plane_eigen",
        title="The loss on the two sharpest directions",
        caption="Loss on the plane of the two top eigenvectors u₁ and u₂, for one run per "
        f"{group_word(run for run, _ in found)} at its last checkpoint (cross); x and y are distances in θ. "
        f"Each panel goes as far as the loss rises about tenfold, {_range(reach)} of ‖θ‖, and has levels of its own."
        f"{evaluation_sentence(planes)}{_statistics(planes, of='planes')}",
        names=[run.name for run, _ in found],
    )


def _path_figure(results: ResultsLike, found: Sequence[tuple[RunLike, PathSlice]]) -> Drawing:
    every = [paths for _, paths in found]
    shares, walks = [paths.explained for paths in every], [baseline_of(paths.walks)[0] for paths in every]
    counts = sorted({len(paths.points) for paths in every})
    return drawn(
        results,
        plane_pca,
        name="plane_pca",
        title="The end of training over the loss",
        caption=f"The measured checkpoints ({' to '.join(map(str, counts))}) of one run per "
        f"{group_word(run for run, _ in found)} on their two principal components, over contours of the "
        "loss, darker where it is higher; a ring is the first, a dot the last. "
        f"The planes hold {_range(shares)} of the variance, and of random walks with the same steps {_range(walks)}."
        f"{evaluation_sentence(every)}{_statistics(every, of='planes')}",
        names=[run.name for run, _ in found],
    )


def _range(shares: Sequence[float]) -> str:
    """Lowest and highest, in per cent."""
    low, high = (format_value(100 * share, digits=2) for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def interpolation_figure(results: ResultsLike) -> Iterator[Drawing]:
    """Straight lines between minima, grouped by the two groups they join."""
    if not results.pairs:
        return
    lines, word = [pair.record for pair in results.pairs], group_word(results.runs)
    yield drawn(
        results,
        interpolation,
        name="interpolation",
        title="Between the minima",
        caption=f"Loss on straight lines between the ends of {count_words(len(lines), 'pair')} of runs; colours join "
        f"seeds of one {word}, greys different {word}s. A dot marks where a line is highest above the chord between "
        "its ends; that height is the barrier: one between the points drawn may be higher. No permutation of neurons "
        "was undone, so a barrier does not prove that the minima are apart."
        f"{evaluation_sentence(lines)}{_statistics(lines)}"
        f"{gap_sentence(sum(int((~np.isfinite(line.loss)).sum()) for line in lines))}",
    )


def _statistics(slices: Sequence[LineSlice | PlaneSlice | PathSlice], *, of: str = "lines") -> str:
    """What their running statistics are, in a sentence; empty where no model has any."""
    return sentences([one.batch_statistics for one in slices], of=of)


def _finite(plane: PlaneSlice) -> np.ndarray:
    finite: np.ndarray = plane.loss[np.isfinite(plane.loss)]
    return finite
