"""A study of what a problem measures by itself, where a training follows no loss and nothing else may be measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from landscape import plots
from landscape.checkpoints import CheckpointDir
from landscape.escaping.control_characters import visible
from landscape.escaping.latex import latex_sentence, latex_text
from landscape.jobs import Executor
from landscape.plots.drawing import Drawing
from landscape.problems.metrics import evaluate_split
from landscape.store.outputs import write_whole
from landscape.study.design import Study
from landscape.study.histories import draw_histories
from landscape.study.methods import decisions_told, trainings_told
from landscape.study.paper import environment, write_quantities
from landscape.study.per_run import kept_or_measured, measure_runs, rows_of
from landscape.study.quantities import Quantity, caption, told
from landscape.study.tuning import Choice
from landscape.version import __version__

GRADIENT = "length of the gradient that is followed"
#: Panels beside each other.
MOST = 4


def measure_alone(
    study: Study,
    out: Path,
    *,
    workers: int,
    executor: Executor | None = None,
    say: Callable[[str], None] | None = None,
) -> None:
    """Measure the end of every run into ``out/measured``; what was measured of the same checkpoint is kept."""
    measure_runs(
        study, out / "measured", f"{__name__}:measured_job", "the problem's own measures",
        workers=workers, executor=executor, say=say,
    )  # fmt: skip


def measured_job(study: str, data: str | None, index: int, run: str, file: str) -> str:
    """A job: what the problem of an arm measures at the end of a run; the file of it."""
    design, last = Study.from_json(study, data=data), CheckpointDir(run)[-1]
    problem = design.problem_of(design.arms[index])

    def measure() -> dict[str, float]:
        model, found = last.model(problem), {GRADIENT: float(last.metrics["grad_norm"])}
        for split in ("train",) if problem.test is None else ("train", "test"):
            found |= evaluate_split(problem, model, split).measures
        return found

    return kept_or_measured(file, {"at": last.params_sha256, "config": problem.config}, measure)


def read_measured(study: Study, out: Path) -> dict[tuple[str, int], dict[str, float]]:
    """(arm, seed) → what was measured."""
    found = {
        (arm.label, seed): rows_of(out / "measured" / f"{run.name}.json")
        for arm, seed, run in study.runs_in(out / "runs")
    }
    return {key: numbers for key, numbers in found.items() if numbers is not None}


def quantities_of(found: dict[tuple[str, int], dict[str, float]]) -> list[Quantity]:
    """One for each name, over the arms that have it."""
    values: dict[str, dict[str, dict[int, float]]] = {}
    runs: dict[str, int] = {}
    for (label, seed), numbers in found.items():
        runs[label] = runs.get(label, 0) + 1
        for name, value in numbers.items():
            values.setdefault(name, {}).setdefault(label, {})[seed] = value
    return [Quantity(name, by_label, runs) for name, by_label in values.items()]


def write_short_paper(study: Study, choices: list[Choice], diverged: list[str], out: Path) -> Path:
    """``out/paper/report.tex`` with its table and figures, and the sentences as ``findings.txt``."""
    folder, measured = out / "paper", read_measured(study, out)
    quantities = quantities_of(measured)
    write_quantities(study, "measured", quantities, folder)
    found = [sentence[0].upper() + sentence[1:] for sentence in told(study, quantities)]
    write_whole(folder / "findings.txt", "\n".join(map(visible, found)) + "\n")
    figures = []
    with plots.house_style():
        for drawing in (draw_histories(study, out / "runs"), _relations(study, measured)):
            if drawing is not None:
                plots.save(drawing.figure, folder / "figures", drawing.name)
                figures.append(_as_figure(drawing))
    text = environment().get_template("paper.tex.j2").render(
        title=latex_text(study.heading),
        version=__version__,
        question=latex_text(study.question),
        methods=latex_text(" ".join([*trainings_told(study, choices), decisions_told(study)])),
        findings=[latex_sentence(sentence) for sentence in found],
        quantities=[("measured", latex_text(caption(quantities)))],
        figures=figures,
        notes=[latex_sentence(note) for note in _limits(study, choices, diverged)],
    )  # fmt: skip
    return write_whole(folder / "report.tex", text)


def _as_figure(drawing: Drawing) -> dict[str, Any]:
    return {"name": drawing.name, "path": f"figures/{drawing.name}.pdf", "caption": latex_text(drawing.caption),
            "height": 0.36, "wide": True}  # fmt: skip


def _relations(study: Study, measured: dict[tuple[str, int], dict[str, float]]) -> Drawing | None:
    """The last that every run has against the first of the others."""
    names = [name for name in next(iter(measured.values()), {}) if all(name in row for row in measured.values())]
    if len(names) < 2:
        return None
    words = {name: name for name in (names[-1], *names[:-1][:MOST])}
    arms = {arm.label: [row for (label, _), row in measured.items() if label == arm.label] for arm in study.arms}
    return Drawing(
        "relations",
        "What the ends of training differ in",
        f"The {names[-1]} against what else the problem measures where training ended; a mark for each run.",
        plots.relation_panels({label: rows for label, rows in arms.items() if rows}, words),
    )


def _limits(study: Study, choices: list[Choice], diverged: list[str]) -> list[str]:
    found = [
        "The training follows the gradient of no loss. So no curvature, slice or minimum is spoken of; what stands "
        "here is measured by the problem alone."
    ]
    if edge := [choice.label for choice in choices if choice.at_edge]:
        found.append(f"Learning rates at the edge of their grid, beyond which a better may lie: {', '.join(edge)}.")
    found += [f"Diverged: {line}" for line in diverged]
    if study.tuning is not None:
        found.append(f"Chosen by the {study.tuning.by.replace('_', ' ')}: arms that are best by another may differ.")
    return found
