"""Loss and step size of every run of a study, step by step, where it asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landscape import plots
from landscape.checkpoints import CheckpointDir, history_of
from landscape.plots.drawing import Drawing
from landscape.study.design import Study


def draw_histories(study: Study, runs: Path) -> Drawing | None:
    """Losses above, step sizes or what is watched below, a column for each problem; None where the study does not ask,
    or has no run."""
    if not study.histories:
        return None
    losses, sizes = read_histories(study, runs)
    if losses.empty:
        return None
    there = set(losses["arm"])
    columns = {said: [arm.label for arm in arms if arm.label in there] for said, arms in study.strata().items()}
    return Drawing(
        "histories",
        f"Training loss and {words_of(study)}",
        "Above, the loss over all training data: median over seeds, band from the lowest to the highest. Below, the "
        f"{words_of(study)}: median over seeds and a window of steps (at most {plots.WINDOWS} windows), band around "
        "the middle 80 %. On a logarithmic axis zeros are missing.",
        plots.history_panels(
            losses, sizes, {said: arms for said, arms in columns.items() if arms}, below=words_of(study)
        ),
    )


def column_of(study: Study) -> str:
    """The column of the runs' histories that the study shows."""
    return study.watched or "step_size"


def words_of(study: Study) -> str:
    """How a sentence calls it."""
    return column_of(study).replace("_", " ")


def read_histories(study: Study, runs: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training losses at checkpoints, and of all steps their size or what is watched, as ``arm``, ``seed``, ``step``,
    ``value``."""
    losses: list[pd.DataFrame] = []
    sizes: list[pd.DataFrame] = []
    for arm, seed, folder in study.runs_in(runs):
        run = list(CheckpointDir(folder))
        found = [float(checkpoint.metrics.get("train_loss", np.nan)) for checkpoint in run]
        losses.append(_frame(arm.label, seed, np.array([c.step for c in run]), np.array(found)))
        history = history_of(run)
        if (column := column_of(study)) in history:
            sizes.append(_frame(arm.label, seed, history["step"], history[column]))
    return _joined(losses), _joined(sizes)


def _frame(arm: str, seed: int, steps: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"arm": arm, "seed": seed, "step": steps, "value": values})


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["arm", "seed", "step", "value"])
