"""Paths of training over the contours of the loss, where a study asks for them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from landscape import plots
from landscape.checkpoints import CheckpointDir, checkpoint_files
from landscape.errors import UsageError
from landscape.geometry import evaluate_paths
from landscape.objective import Objective
from landscape.plots.drawing import Drawing
from landscape.plots.labels import figure_text
from landscape.results.batch_statistics import sentences
from landscape.study.design import Study

GRID = 41
#: Along the longer side where the panels are many paths' only map.
FINE = 61
MOST_POSITIONS = 200
COLUMNS = 3
MOST_PANELS = 6
#: Around the paths, so that no panel is a strip.
MARGIN = 0.4


def draw_paths(study: Study, runs: Path) -> Drawing | None:
    """Of all seeds, arm by arm, where the arms are few and one loss of two parameters is the map of all; else of one.

    None where the study asks for no paths, or no run is there.
    """
    if not study.paths:
        return None
    objective = study.objective_of(study.arms[0])
    try:
        return _drawn(study, runs, objective)
    except UsageError as error:  # a model in which training moves more than positions say
        warnings.warn(f"the paths are not drawn: {error}", stacklevel=2)
        return None


def _drawn(study: Study, runs: Path, objective: Objective) -> Drawing | None:
    if study.same_problem() and objective.layout.size == 2 and len(study.arms) <= MOST_PANELS:
        return _of_all_seeds(study, runs, objective)
    return _of_the_first_seed(study, runs)


def _of_all_seeds(study: Study, runs: Path, objective: Objective) -> Drawing | None:
    """A panel for each arm on one plane, which is all of parameter space."""
    there: dict[str, dict[str, Path]] = {}
    for arm, _, folder in study.runs_in(runs):
        there.setdefault(arm.label, {})[folder.name] = folder
    if not there:
        return None
    positions = {name: _positions(folder) for named in there.values() for name, folder in named.items()}
    plane = evaluate_paths(objective, positions, points=FINE, losses=False)
    columns = min(len(there), COLUMNS)
    rows = -(-len(there) // columns)
    figure = plots.new_figure(plots.SINGLE if columns == 1 else plots.DOUBLE, 0.4 + 1.9 * rows)
    styles = plots.optimizer_styles([arm.label for arm in study.arms])
    for index, (label, named) in enumerate(there.items()):
        ax = figure.add_subplot(rows, columns, index + 1)
        own = dict.fromkeys(named, styles[label])
        plots.plot_paths(plane.only(list(named)), styles=own, width=0.5, ax=ax)
        ax.set_title(figure_text(label))
        if index % columns:
            ax.set_ylabel("")
    return Drawing(
        "paths",
        "Paths over the loss",
        f"Paths of all {len(study.seeds)} seeds over the two parameters, arm by arm, over contours of the training "
        "loss, darker where it is higher. A ring is a beginning, a dot an end."
        f"{sentences([plane.batch_statistics], of='planes')}",
        figure,
    )


def _of_the_first_seed(study: Study, runs: Path) -> Drawing | None:
    """A panel for each problem, with a path for each arm."""
    seed = study.seeds[0]
    groups = {
        said: [arm for arm in arms if checkpoint_files(runs / arm.run(seed))] for said, arms in study.strata().items()
    }
    groups = {said: arms for said, arms in groups.items() if arms}
    if not groups:
        return None
    columns = min(len(groups), COLUMNS)
    rows = -(-len(groups) // columns)
    figure = plots.new_figure(plots.SINGLE if columns == 1 else plots.DOUBLE, 0.5 + 2.6 * rows)
    names = plots.short_names([arm.label for arm in arms] for arms in groups.values())
    styles, planes = plots.optimizer_styles(names.values()), []
    for index, (said, arms) in enumerate(groups.items()):
        objective = study.objective_of(arms[0])
        positions = {names[arm.label]: _positions(runs / arm.run(seed)) for arm in arms}
        found = evaluate_paths(objective, positions, points=GRID, margin=MARGIN, losses=False)
        ax = plots.plot_paths(found, styles=styles, ax=figure.add_subplot(rows, columns, index + 1))
        ax.set_title(figure_text(said))
        planes.append(found)
    plots.legend_outside(figure)
    plane = "over the two parameters"
    explained = min(found.explained for found in planes)
    if explained < 1:
        plane = f"on the first two principal components, which hold at least {100 * explained:.0f} % of the variance"
    return Drawing(
        "paths",
        "Paths over the loss",
        f"Paths of seed {seed} {plane}, over contours of the training loss, darker where it is higher. A ring is the "
        f"beginning, a dot the end.{sentences([found.batch_statistics for found in planes], of='planes')}",
        figure,
    )


def _positions(folder: Path) -> list[Any]:
    """Where the run was, at most so many positions, the first and last among them."""
    run = CheckpointDir(folder)
    chosen = np.unique(np.linspace(0, len(run) - 1, min(len(run), MOST_POSITIONS)).round().astype(int))
    return [run[int(index)].theta() for index in chosen]
