"""Paths of training on the plane of a problem's own variables, with its constraint, however each arm treats that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from landscape import plots
from landscape.checkpoints import CheckpointDir, checkpoint_files
from landscape.plots.drawing import Drawing
from landscape.plots.labels import figure_text
from landscape.problems.chart import Chart
from landscape.results import PathSlice
from landscape.study.arms import Arm
from landscape.study.design import Study

GRID = 81
MOST_POSITIONS = 200
#: Around the paths, as a share of their extent.
MARGIN = 0.15
COLUMNS = 3


def draw_chart(study: Study, runs: Path) -> Drawing | None:
    """Of the first seed, a panel for each set of arms; None where the problem has no chart, or no run is there."""
    seed = study.seeds[0]
    sets = {name: [arm for arm in arms if checkpoint_files(runs / arm.run(seed))] for name, arms in _sets(study)}
    sets = {name: arms for name, arms in sets.items() if arms and study.problem_of(arms[0]).chart is not None}
    if not sets:
        return None
    columns = min(len(sets), COLUMNS)
    rows = -(-len(sets) // columns)
    figure = plots.new_figure(plots.SINGLE if columns == 1 else plots.DOUBLE, 0.5 + 2.8 * rows)
    names = plots.short_names([arm.label for arm in arms] for arms in sets.values())
    styles = plots.optimizer_styles(names.values())
    for index, (said, arms) in enumerate(sets.items()):
        chart = study.problem_of(arms[0]).chart
        assert chart is not None
        paths = {names[arm.label]: positions(study, arm, runs / arm.run(seed)) for arm in arms}
        found = slice_of(chart, paths)
        ax = plots.plot_paths(found, styles=styles, ax=figure.add_subplot(rows, columns, index + 1))
        room = _on_grid(chart.room, found.x, found.y)
        plots.mark_constraint(ax, found.x, found.y, room, chart.solution)
        ax.set_title(figure_text(said))
    plots.legend_outside(figure)
    return Drawing(
        "paths",
        "Paths over the loss and its constraint",
        f"Paths of seed {seed} over contours of what is to be minimised, darker where it is higher. Hatched: where the "
        "constraint does not hold. A ring is the beginning, a dot the end, the star the solution.",
        figure,
    )


def _sets(study: Study) -> list[tuple[str, list[Arm]]]:
    return [*study.strata().items()] if study.within else [(study.heading, [*study.arms])]


def positions(study: Study, arm: Arm, folder: Path) -> np.ndarray:
    """Where the run was on the chart, (T, 2), at most so many places, the first and last among them."""
    problem, run = study.problem_of(arm), CheckpointDir(folder)
    assert problem.chart is not None
    chosen = np.unique(np.linspace(0, len(run) - 1, min(len(run), MOST_POSITIONS)).round().astype(int))
    places = [problem.chart.place(run[int(index)].model(problem)) for index in chosen]
    return torch.stack(places).numpy()


def slice_of(chart: Chart, paths: dict[str, np.ndarray]) -> PathSlice:
    """The chart around the paths and the solution, in the form of any other paths over a plane."""
    points = np.concatenate([*paths.values()])
    around = np.concatenate([points, np.array([chart.solution])])
    low, high = around.min(0), around.max(0)
    reach = MARGIN * (high - low).max()
    x, y = (np.linspace(low[i] - reach, high[i] + reach, GRID) for i in (0, 1))
    return PathSlice(
        x=x,
        y=y,
        loss=_on_grid(chart.loss, x, y),
        directions=chart.axes,
        names=tuple(paths),
        lengths=np.array([len(path) for path in paths.values()]),
        points=points,
        outside=np.zeros(len(points)),
        explained=1.0,
    )


def _on_grid(function: object, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(Y, X) values."""
    grid = torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2))
    assert callable(function)
    values: np.ndarray = function(grid).numpy().reshape(len(y), len(x))
    return values
