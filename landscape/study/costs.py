"""What training cost until it came to a loss, in passes over the data, read from what every step evaluated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from landscape import plots
from landscape.checkpoints import CheckpointDir, history_of
from landscape.plots.drawing import Drawing
from landscape.rounding import format_value
from landscape.study.design import Study
from landscape.study.quantities import Quantity

#: What a loss with its gradient counts, in losses: of a layer the forward pass makes one product, the backward pass
#: two of that size, for the gradient of the inputs and for that of the weights.
GRADIENT = 3.0


@dataclass(frozen=True)
class Course:
    """The training loss along a run, and what was evaluated before it stood there.

    Attributes
    ----------
    losses, gradients : (S,) arrays
        In passes over the training data.
    loss : (S,) array
    """

    losses: np.ndarray
    gradients: np.ndarray
    loss: np.ndarray

    @property
    def cost(self) -> np.ndarray:
        """In losses."""
        return self.losses + GRADIENT * self.gradients

    def first_below(self, loss: float) -> int | None:
        """The first place at which the training loss is as low; None where it never is."""
        there = np.flatnonzero(self.loss <= loss)
        return int(there[0]) if len(there) else None


def course_of(folder: Path) -> Course | None:
    """Of a run: at every step where each takes all data as one batch, else at its checkpoints.

    None where its training did not count what it evaluated.
    """
    run = list(CheckpointDir(folder))
    history = history_of(run)
    if "gradients" not in history or np.isnan(history["gradients"]).any():
        return None
    spent = {name: np.concatenate([[0.0], np.cumsum(history[name])]) for name in ("losses", "gradients")}
    at = {checkpoint.step: float(checkpoint.metrics["train_loss"]) for checkpoint in run}
    passes = history["losses"] + history["gradients"]
    if (passes >= 1 - 1e-9).all():  # the loss of a step's batch is that of all data
        loss = np.append(history["loss"], at[run[-1].step])
        return Course(spent["losses"], spent["gradients"], loss)
    steps = np.array(sorted(at))
    return Course(spent["losses"][steps], spent["gradients"][steps], np.array([at[int(step)] for step in steps]))


def courses(study: Study, runs: Path) -> dict[str, dict[int, Course]]:
    """Arm → its runs by seed, of those that counted; nothing where the study does not ask."""
    found: dict[str, dict[int, Course]] = {}
    for arm, seed, folder in study.runs_in(runs) if study.costs else []:
        if (course := course_of(folder)) is not None:
            found.setdefault(arm.label, {})[seed] = course
    return found


def spent(study: Study, found: dict[str, dict[int, Course]]) -> list[Quantity]:
    """For each training loss of the study, what was evaluated until it was reached: losses, gradients, and together."""
    counts = {label: len(runs) for label, runs in found.items()}
    quantities = []
    for loss in study.costs if found else ():
        parts: dict[str, dict[str, dict[int, float]]] = {"losses": {}, "gradients": {}, "cost": {}}
        for label, runs in found.items():
            for seed, course in runs.items():
                if (place := course.first_below(loss)) is None:
                    continue
                for name, values in parts.items():
                    values.setdefault(label, {})[seed] = float(getattr(course, name)[place])
        level = format_value(loss)
        quantities += [
            Quantity(f"losses alone until {level}", parts["losses"], counts, is_told=False, heading=f"losses, {level}"),
            Quantity(
                f"gradients until {level}", parts["gradients"], counts, is_told=False, heading=f"gradients, {level}"
            ),
            Quantity(
                f"cost in losses until a training loss of {level}", parts["cost"], counts, heading=f"cost, {level}"
            ),
        ]
    return quantities


def draw_costs(study: Study, found: dict[str, dict[int, Course]]) -> Drawing | None:
    """The training loss against what was evaluated, arm by arm."""
    if not found:
        return None
    columns = {said: [arm.label for arm in arms if arm.label in found] for said, arms in study.strata().items()}
    lines = {label: [(course.cost, course.loss) for course in runs.values()] for label, runs in found.items()}
    return Drawing(
        "costs",
        "Training loss against what was evaluated",
        "The training loss against what the run had evaluated before, in losses of all training data; a loss with its "
        f"gradient counts as {GRADIENT:g}. The lowest loss so far: median over seeds, band from the lowest to the "
        "highest. Dotted: the losses at which costs are compared.",
        plots.cost_panels(lines, {said: arms for said, arms in columns.items() if arms}, levels=study.costs),
    )


def notes(study: Study, found: dict[str, dict[int, Course]]) -> list[str]:
    """What a reader must know of the costs."""
    if not found:
        return []
    said = [
        f"Costs count a loss with its gradient as {GRADIENT:g} losses; what an optimizer differentiates twice, and its "
        "own arithmetic, are not counted, nor is the tuning of the learning rate."
    ]
    if study.tuning is not None:
        trials = len(study.tuning.grid) * len(study.tuning.seeds)
        said.append(f"Before it, each arm was trained {trials} times for its learning rate.")
    coarse = [arm.label for arm in study.arms if arm.label in found and not _is_full(study, arm.label)]
    if coarse:
        said.append(f"Costs of {', '.join(coarse)} are read at checkpoints, the first that is as low.")
    return said


def _is_full(study: Study, label: str) -> bool:
    arm = next(arm for arm in study.arms if arm.label == label)
    return int(study.settings_of(arm)["batch_size"]) >= study.problem_of(arm).num_examples
