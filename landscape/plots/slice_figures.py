"""Figures of the loss around and between minima: lines, planes, interpolations."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from landscape.plots.arrays import PairLike, RunLike, by_label, group_of, group_word, last_lines, last_record
from landscape.plots.drawing import Drawing, count_words, gap_sentence, seeds_words
from landscape.plots.labels import figure_names, legend_text
from landscape.plots.legends import legend_outside
from landscape.plots.lines import barrier_point, plot_interpolation, plot_line_band, plot_lines, rise
from landscape.plots.paths import plot_paths
from landscape.plots.style import (
    DOUBLE,
    REFERENCE_COLOR,
    SINGLE,
    Style,
    columns_for,
    label_outer,
    new_figure,
    panel_width,
    panels,
    share_limits,
)
from landscape.plots.surface import add_colorbar, log_levels, plot_contour, plot_surface, surface_heights
from landscape.results import LineSlice, PathSlice, PlaneSlice
from landscape.results.batch_statistics import sentences
from landscape.results.interpolated import evaluation_sentence
from landscape.results.planes import baseline_of
from landscape.results.reach import reaches
from landscape.rounding import format_value


def line_figures(runs: Sequence[RunLike], styles: dict[str, Style]) -> Iterator[Drawing]:
    """Slices along the top eigenvector, a panel per group; medians and bands over random directions."""
    groups = by_label(runs)
    top = {n: [s for r in g if (s := last_record(r, "line_eigenvector_1", LineSlice))] for n, g in groups.items()}
    top = {name: lines for name, lines in top.items() if lines}
    if top:
        yield _eigenvector_figure(top, groups, styles)
    random = {name: [s for run in group for s in last_lines(run, "line_random_")] for name, group in groups.items()}
    random = {name: lines for name, lines in random.items() if lines}
    if random:
        yield _random_figure(random, groups, styles)


def _eigenvector_figure(
    top: dict[str, list[LineSlice]], groups: dict[str, list[RunLike]], styles: dict[str, Style]
) -> Drawing:
    columns = columns_for(len(top))
    figure, axes = panels(len(top), columns=columns, row_height=1.8)
    titles = figure_names(top, inches=panel_width(figure, columns))
    for ax, (name, lines) in zip(axes, top.items(), strict=True):
        plot_lines(lines, color=styles[name].color, label="loss", ax=ax)
        ax.set_title(titles[name])
    share_limits(axes, which="y")
    label_outer(axes, columns=columns, x="distance t along u₁", y="L(θ + t·u₁) − L(θ)")
    legend_outside(figure)
    every = [line for lines in top.values() for line in lines]
    return Drawing(
        "slice_eigenvector",
        "Along the sharpest direction",
        "Rise of the loss along the eigenvector u₁ of the largest eigenvalue, at the last checkpoint; each line is one "
        f"seed ({seeds_words(groups[name] for name in top)}). Dashed: ½t²λ, what the Hessian alone predicts; where the "
        "loss leaves it, higher orders act. The sign of an eigenvector, and so left and right, is arbitrary."
        f"{evaluation_sentence(every)}{_statistics(every)}{gap_sentence(sum(rise(line)[1] for line in every))}",
        figure,
    )


def _random_figure(
    random: dict[str, list[LineSlice]], groups: dict[str, list[RunLike]], styles: dict[str, Style]
) -> Drawing:
    figure = new_figure(SINGLE, 2.5)
    ax = figure.add_subplot()
    for name, lines in random.items():
        plot_line_band(lines, color=styles[name].color, dash=styles[name].dash, label=legend_text(name), ax=ax)
    legend_outside(figure)
    per_run = sorted({len(last_lines(run, "line_random_")) for name in random for run in groups[name]} - {0})
    directions = " to ".join(str(n) for n in per_run)
    every = [line for lines in random.values() for line in lines]
    lengths = [line.step_norm for line in every]
    return Drawing(
        "slice_random",
        "Along random directions",
        f"Rise of the loss along random filter-normalised directions: {directions} per run, "
        f"{seeds_words(groups[name] for name in random)}. The line is the median over directions and seeds, the band "
        "reaches from the lowest to the highest. One unit of t is the length of the direction, "
        f"{format_value(min(lengths), digits=3)} to {format_value(max(lengths), digits=3)} in parameter space."
        f"{evaluation_sentence(every)}{_statistics(every)}{gap_sentence(sum(rise(line)[1] for line in every))}",
        figure,
    )


def plane_figures(runs: Sequence[RunLike]) -> Iterator[Drawing]:
    """Contours and surfaces of planes, and paths over theirs: the first seed of every group."""
    if found := _first_planes(runs, "plane"):
        yield _contour_figure(found)
        yield _surface_figure(found)
    if found := _first_planes(runs, "plane_eigen"):
        yield _eigen_figure(found)
    if paths := _of_first_seed(runs, "plane_pca", PathSlice):
        yield _path_figure(paths)


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


def _contour_figure(found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    columns = columns_for(len(found))
    width = DOUBLE if len(found) > 1 else SINGLE
    side = min(width / columns, 2.4)
    figure, axes = panels(len(found), columns=columns, width=width, row_height=side + 0.25)
    levels = log_levels(np.concatenate([_finite(plane) for _, plane in found]), count=12)
    titles = figure_names([run.name for run, _ in found], inches=0.85 * panel_width(figure, columns))
    for ax, (run, plane) in zip(axes, found, strict=True):
        plot_contour(plane, levels=levels, ax=ax)
        ax.set_title(titles[run.name], fontsize=7)
    label_outer(axes, columns=columns, x="x (direction 1)", y="y (direction 2)")
    add_colorbar(axes[0], axes=axes)
    planes = [plane for _, plane in found]
    gaps = sum(plane.loss.size - _finite(plane).size for plane in planes)
    grey = f" Grey: {count_words(gaps, 'point')} where the loss is not finite." if gaps else ""
    return Drawing(
        "contour",
        "The loss on a plane",
        "Loss on the plane spanned by two random filter-normalised directions, for one run per "
        f"{group_word(run for run, _ in found)} at its last checkpoint (cross). Levels are log-spaced and the same in "
        "all panels; x and y count lengths of their "
        f"direction.{evaluation_sentence(planes)}{_statistics(planes, of='planes')}{grey}",
        figure,
    )


def _eigen_figure(found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    """Each with a radius and levels of its own, since curvatures differ by orders of magnitude."""
    columns = columns_for(len(found))
    width = DOUBLE if len(found) > 1 else SINGLE
    figure, axes = panels(len(found), columns=columns, width=width, row_height=0.55 * width / columns + 0.45)
    titles = figure_names([run.name for run, _ in found], inches=0.85 * panel_width(figure, columns))
    for ax, (run, plane) in zip(axes, found, strict=True):
        plot_contour(plane, ax=ax)
        add_colorbar(ax)
        ax.set_title(titles[run.name], fontsize=7)
        ax.set(xlabel="along u₁", ylabel="along u₂")
    planes = [plane for _, plane in found]
    reach = [share for plane in planes for _, _, share in reaches(plane)]
    return Drawing(
        "plane_eigen",
        "The loss on the two sharpest directions",
        "Loss on the plane of the two top eigenvectors u₁ and u₂, for one run per "
        f"{group_word(run for run, _ in found)} at its last checkpoint (cross); x and y are distances in θ. "
        f"Each panel goes as far as the loss rises about tenfold, {_range(reach)} of ‖θ‖, and has levels of its own."
        f"{evaluation_sentence(planes)}{_statistics(planes, of='planes')}",
        figure,
    )


def _path_figure(found: Sequence[tuple[RunLike, PathSlice]]) -> Drawing:
    columns = columns_for(len(found))
    width = DOUBLE if len(found) > 1 else SINGLE
    shape = np.clip(max(float(np.ptp(paths.y) / np.ptp(paths.x)) for _, paths in found), 0.4, 1.0)
    height = 0.55 * width / columns * float(shape) + 0.75
    figure, axes = panels(len(found), columns=columns, width=width, row_height=height)
    titles = figure_names([run.name for run, _ in found], inches=0.85 * panel_width(figure, columns))
    for ax, (run, paths) in zip(axes, found, strict=True):
        plot_paths(paths, ax=ax)
        add_colorbar(ax)
        ax.set_title(titles[run.name], fontsize=7)
        for axis in (ax.xaxis, ax.yaxis):
            axis.label.set_fontsize(6 if columns > 2 else 7)
    every = [paths for _, paths in found]
    shares, walks = [paths.explained for paths in every], [baseline_of(paths.walks)[0] for paths in every]
    counts = sorted({len(paths.points) for paths in every})
    return Drawing(
        "plane_pca",
        "The end of training over the loss",
        f"The measured checkpoints ({' to '.join(map(str, counts))}) of one run per "
        f"{group_word(run for run, _ in found)} on their two principal components, over contours of the "
        "loss, darker where it is higher; a ring is the first, a dot the last. "
        f"The planes hold {_range(shares)} of the variance, and of random walks with the same steps {_range(walks)}."
        f"{evaluation_sentence(every)}"
        f"{_statistics(every, of='planes')}",
        figure,
    )


def _range(shares: Sequence[float]) -> str:
    """Lowest and highest, in per cent."""
    low, high = (format_value(100 * share, digits=2) for share in (min(shares), max(shares)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def _surface_figure(found: Sequence[tuple[RunLike, PlaneSlice]]) -> Drawing:
    columns = min(3, len(found))
    width = DOUBLE if len(found) > 1 else SINGLE
    figure, axes = panels(len(found), columns=columns, width=width, row_height=2.4, projection="3d")
    logarithmic = all(surface_heights(plane)[1] for _, plane in found)
    values = np.concatenate([_finite(plane) for _, plane in found])
    values = np.log10(values) if logarithmic else values
    limits = float(values.min()), float(values.max())
    titles = figure_names([run.name for run, _ in found], inches=panel_width(figure, columns))
    for ax, (run, plane) in zip(axes, found, strict=True):
        plot_surface(plane, logarithmic=logarithmic, limits=limits, ax=ax)
        ax.set_title(titles[run.name], fontsize=7, loc="left")
    scale = "logarithmic" if logarithmic else "linear"
    gaps = sum(plane.loss.size - _finite(plane).size for _, plane in found)
    return Drawing(
        "surface",
        "The loss surface",
        f"The same loss over the same plane in three dimensions, with one {scale} vertical axis for all panels."
        f"{gap_sentence(gaps)}",
        figure,
    )


def interpolation_figure(
    pairs: Sequence[PairLike], runs: Sequence[RunLike], styles: dict[str, Style]
) -> Iterator[Drawing]:
    """Straight lines between minima, grouped by the two groups they join."""
    group, word = {run.name: group_of(run) for run in runs}, group_word(runs)
    groups: dict[tuple[str, ...], list[LineSlice]] = {}
    for pair in pairs:
        ends = tuple(sorted(group.get(name, name) for name in (pair.run_a, pair.run_b)))
        groups.setdefault(ends, []).append(pair.record)
    if not groups:
        return
    figure, lines = new_figure(DOUBLE, 2.6), [pair.record for pair in pairs]
    ax = figure.add_subplot()
    dashes = ["-", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1))]
    names = figure_names([name for ends in groups for name in ends], inches=1.8)
    mixed = [ends for ends in sorted(groups) if ends[0] != ends[1]]
    for ends in sorted(groups, key=lambda e: (e in mixed, e)):
        same = ends[0] == ends[1] and ends[0] in styles
        color = styles[ends[0]].color if same else _greys(len(mixed))[mixed.index(ends) if ends in mixed else 0]
        dash = "-" if same else dashes[mixed.index(ends) % len(dashes) if ends in mixed else 0]
        label = f"{names[ends[0]]} – {names[ends[1]]}, barrier {_barriers(groups[ends])}"
        plot_interpolation(groups[ends], color=color, dash=dash, label=label, ax=ax)
    legend_outside(figure, columns=3)
    yield Drawing(
        "interpolation",
        "Between the minima",
        f"Loss on straight lines between the ends of {count_words(len(pairs), 'pair')} of runs; colours join seeds of "
        f"one {word}, greys different {word}s. A dot marks where a line is highest above the chord between its ends; "
        "that height is the barrier: one between the points drawn may be higher. No permutation of neurons was undone, "
        "so a barrier does not prove that the minima are apart."
        f"{evaluation_sentence(lines)}{_statistics(lines)}"
        f"{gap_sentence(sum(int((~np.isfinite(line.loss)).sum()) for line in lines))}",
        figure,
    )


def _greys(count: int) -> list[str]:
    """Distinct greys, dark to light, none too pale for print."""
    return [str(level) for level in np.linspace(0.15, 0.65, max(count, 1)).round(2)] if count else [REFERENCE_COLOR]


def _barriers(lines: Sequence[LineSlice]) -> str:
    """The range of barriers over the lines of a group, over finite points."""
    heights = []
    for line in lines:
        top = barrier_point(line)
        if top is not None:
            chord = (1 - top[0]) * line.loss[0] + top[0] * line.loss[-1]
            heights.append(float(top[1] - chord))
    if not heights:
        return "unknown"
    low, high = (format_value(x, digits=2) for x in (min(heights), max(heights)))
    return low if low == high else f"{low} … {high}"


def _statistics(slices: Sequence[LineSlice | PlaneSlice | PathSlice], *, of: str = "lines") -> str:
    """What their running statistics are, in a sentence; empty where no model has any."""
    return sentences([one.batch_statistics for one in slices], of=of)


def _finite(plane: PlaneSlice) -> np.ndarray:
    finite: np.ndarray = plane.loss[np.isfinite(plane.loss)]
    return finite
