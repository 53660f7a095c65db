"""The figures of a study's paper: those of the analysis that answer its question, and the paths where asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from landscape import plots
from landscape.checkpoints import CheckpointDir, checkpoint_files
from landscape.geometry import evaluate_paths
from landscape.plots.drawing import Drawing
from landscape.store import Results
from landscape.study.design import Arm, Study
from landscape.tables import latex_text

#: Of the analysis, in this order, where their records are; and the rooms they stand in.
ROOMS = ("differences", "lines", "tails", "classes")
CHOSEN = ("differences", "slice_eigenvector", "last_iterations", "class_accuracy")
#: Wider than that, a figure goes over both columns.
#: Share of the page's height a figure over both columns may take: three of them fill a page with their captions.
HEIGHTS = {"differences": 0.31}
HEIGHT = 0.24
_COLUMN = plots.SINGLE + 0.1
#: With more arms than these a class has more marks than can be told apart, and the paper no room for them.
MOST_BY_CLASS = 7
GRID = 41
MOST_POSITIONS = 200


def paper_figures(study: Study, results: Results, folder: Path) -> list[dict[str, Any]]:
    """Draw and save the figures into the paper's folder; path, caption and whether both columns are needed of each."""
    found = []
    with plots.house_style():
        for drawing in [*_paths(study, folder.parent / "runs"), *_chosen(study, results)]:
            plots.save(drawing.figure, folder / "figures", drawing.name)
            found.append(
                {
                    "name": drawing.name,
                    "path": f"figures/{drawing.name}.pdf",
                    "caption": latex_text(drawing.caption),
                    "height": HEIGHTS.get(drawing.name, HEIGHT),
                    "wide": drawing.figure.get_figwidth() > _COLUMN,
                }
            )
    return found


def _chosen(study: Study, results: Results) -> list[Drawing]:
    chosen = CHOSEN if len(study.arms) <= MOST_BY_CLASS else [name for name in CHOSEN if name != "class_accuracy"]
    there = {drawing.name: drawing for drawing in plots.drawings(results, ROOMS) if drawing.name in chosen}
    return [there[name] for name in chosen if name in there]


def _paths(study: Study, runs: Path) -> Iterator[Drawing]:
    """The paths of the first seed over the loss, a panel for each problem that the arms are trained on."""
    if not study.paths:
        return
    groups: dict[str, list[Arm]] = {}
    for arm in study.arms:
        if checkpoint_files(_folder(runs, arm, study)):
            groups.setdefault(_said(study, arm), []).append(arm)
    if not groups:
        return
    columns = min(len(groups), 3)
    rows = -(-len(groups) // columns)
    figure = plots.new_figure(plots.SINGLE if columns == 1 else plots.DOUBLE, 0.5 + 2.6 * rows)
    styles = plots.optimizer_styles([arm.label for arm in study.arms])
    explained = []
    for index, (said, arms) in enumerate(groups.items()):
        problem = study.problem_of(arms[0])
        objective = problem.objective(problem.make_model(study.seeds[0]), check=False)
        positions = {arm.label: _positions(_folder(runs, arm, study)) for arm in arms}
        found = evaluate_paths(objective, positions, points=GRID)
        ax = plots.plot_paths(found, styles=styles, ax=figure.add_subplot(rows, columns, index + 1))
        ax.set_title(said)
        explained.append(found.explained)
    plots.legend_outside(figure)
    plane = "over the two parameters"
    if min(explained) < 1:
        plane = (
            f"on the first two principal components, which hold at least {100 * min(explained):.0f} % of the variance"
        )
    yield Drawing(
        "paths",
        "Paths over the loss",
        f"Paths of seed {study.seeds[0]} {plane}, over contours of the training loss, darker where it is higher. A "
        "ring is the beginning, a dot the end.",
        figure,
    )


def _folder(runs: Path, arm: Arm, study: Study) -> Path:
    return runs / f"{arm.label}-s{study.seeds[0]}"


def _said(study: Study, arm: Arm) -> str:
    """What tells the problem of an arm from those of the others."""
    own = arm.settings.get("problem_config", {})
    return ", ".join(f"{key} = {value}" for key, value in own.items()) or study.problem


def _positions(folder: Path) -> list[Any]:
    """Where the run was, at most so many positions, the first and last among them."""
    run = CheckpointDir(folder)
    every = max(1, -(-len(run) // MOST_POSITIONS))
    chosen = sorted({*range(0, len(run), every), len(run) - 1})
    return [run[index].theta() for index in chosen]
