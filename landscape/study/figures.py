"""The figures of a paper: those of the analysis that answer its question; paths and histories where asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landscape import plots
from landscape.escaping.latex import latex_text
from landscape.plots.drawing import Drawing
from landscape.store import Results
from landscape.store.metrics import ACCURACY
from landscape.study.blocks import draw_blocks
from landscape.study.charts import draw_chart
from landscape.study.costs import draw_costs
from landscape.study.design import Study
from landscape.study.doses import draw_doses
from landscape.study.findings import MANY, Material
from landscape.study.forgetting import draw_forgetting
from landscape.study.histories import draw_histories
from landscape.study.paths import draw_paths

#: Of the analysis, in this order, where their records are; and their kinds.
KINDS = ("lines", "tails", "classes")
CHOSEN = ("slice_eigenvector", "last_iterations", "class_accuracy")
#: Share of the page's height a figure over both columns may take: three of them fill a page with their captions.
HEIGHTS = {"differences": 0.27, "histories": 0.36, "paths": 0.27, "blocks": 0.21}
HEIGHT = 0.24
#: Wider than that, a figure goes over both columns.
_COLUMN = plots.SINGLE + 0.1
#: Left out where there are many arms.
CROWDED = ("class_accuracy", "slice_eigenvector")
#: Left out where curvature against loss is drawn: three pages have no room for both.
IN_ITS_PLACE = ("last_iterations", "class_accuracy")


def paper_figures(material: Material, folder: Path) -> list[dict[str, Any]]:
    """Draw and save the figures into the paper's folder; path, caption and whether both columns are needed of each."""
    found, study = [], material.study
    with plots.house_style():
        drawn = [drawing for drawing in _along(material) if drawing is not None]
        if not study.only and not is_full(study):
            matched = _against_loss(material)
            drawn += [*matched, *_differences(material)]
            drawn += _chosen(study, material.found, without=IN_ITS_PLACE if matched else ())
        elif ACCURACY in study.only:
            drawn += _chosen(study, material.found, without=[name for name in CHOSEN if name != "class_accuracy"])
        for drawing in drawn:
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


def _along(material: Material) -> tuple[Drawing | None, ...]:
    study, runs = material.study, material.results.parent
    chart = draw_chart(study, runs) if study.paths else None
    return (
        chart or draw_paths(study, runs),
        draw_doses(study, material.measured),
        draw_histories(study, runs),
        draw_costs(study, material.courses),
        draw_blocks(study, material.blocks),
        draw_forgetting(study, material.forgetting),
    )


def _against_loss(material: Material) -> list[Drawing]:
    """Curvature against training loss, where runs were measured around several."""
    return [] if material.at_equal_loss is None else list(plots.drawings(material.found, ("against_loss",)))


def _differences(material: Material) -> list[Drawing]:
    """Where all have one training loss; else where training stopped."""
    found = material.pairs if material.at_equal_loss is None else material.at_equal_loss
    return [] if found is None else list(plots.draw_differences(found))


def is_full(study: Study) -> bool:
    """Whether three pages have no room for the figures of an analysis beside what a study asks for."""
    return study.blocks is not None or study.writing is not None


def _chosen(study: Study, results: Results, *, without: Sequence[str]) -> list[Drawing]:
    crowded = CROWDED if len(study.arms) > MANY else ()
    chosen = [name for name in CHOSEN if name not in (*crowded, *without)]
    there = {drawing.name: drawing for drawing in plots.drawings(results, KINDS) if drawing.name in chosen}
    return [there[name] for name in chosen if name in there]
