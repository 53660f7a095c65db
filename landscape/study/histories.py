"""Loss, test loss and step size of every run of a study, step by step, where it asks for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from landscape import plots
from landscape.checkpoints import Checkpoint, CheckpointDir, history_of
from landscape.plots.drawing import Drawing, join_words
from landscape.rounding import format_value
from landscape.study.arms import Arm
from landscape.study.design import Study
from landscape.study.numbers import over_seeds


def draw_histories(study: Study, runs: Path) -> Drawing | None:
    """Losses above, below step sizes that change or what is watched, a column for each problem; None where the study
    does not ask, or has no run. Against epochs where one of them has another number of steps in each arm.
    """
    if not study.histories:
        return None
    losses, sizes = read_histories(study, runs)
    if losses.empty:
        return None
    tests = read_losses(study, runs, "test_loss").dropna(subset="value") if study.validation else losses.iloc[:0]
    there = set(losses["arm"])
    columns = {said: [arm.label for arm in arms if arm.label in there] for said, arms in study.strata().items()}
    columns = {said: arms for said, arms in columns.items() if arms}
    against = "epoch" if any(_differ(losses[losses["arm"].isin(arms)]) for arms in columns.values()) else "step"
    if sizes.groupby(["arm", "seed"])["value"].nunique().max() == 1:  # the methods tell it
        sizes = sizes.iloc[:0]
    rows = ["training loss", *([] if tests.empty else ["test loss"]), *([] if sizes.empty else [words_of(study)])]
    validation = "" if tests.empty else " Below it, the loss over all test data."
    below = "" if sizes.empty else (
        f" At the bottom, the {words_of(study)}: median over seeds and a window of steps (at most {plots.WINDOWS} "
        "windows), band around the middle 80 %. On a logarithmic axis zeros are missing."
    )  # fmt: skip
    return Drawing(
        "histories",
        join_words(rows).capitalize(),
        f"The loss over all training data: median over seeds, band from the lowest to the highest.{validation}{below}",
        plots.history_panels(
            _common(losses), sizes, columns, tests=_common(tests), against=against, below=words_of(study)
        ),
    )


def column_of(study: Study) -> str:
    """The column of the runs' histories that the study shows."""
    return study.watched or "step_size"


def words_of(study: Study) -> str:
    """How a sentence calls it."""
    return column_of(study).replace("_", " ")


def _common(losses: pd.DataFrame) -> pd.DataFrame:
    """At the steps that all seeds of an arm have: where losses fell, each saved at steps of its own."""
    seeds = losses.groupby("arm")["seed"].transform("nunique")
    return losses[losses.groupby(["arm", "step"])["seed"].transform("nunique") == seeds]


def _differ(losses: pd.DataFrame) -> bool:
    """Whether arms of as many epochs have other numbers of steps."""
    ends = losses.groupby("arm")[["step", "epoch"]].max()
    return bool(ends["epoch"].nunique() == 1 and ends["step"].nunique() > 1)


def read_histories(study: Study, runs: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training losses at checkpoints, and of all steps their size or what is watched, as ``arm``, ``seed``, ``step``,
    ``epoch``, ``value``.
    """
    losses: list[pd.DataFrame] = []
    sizes: list[pd.DataFrame] = []
    for arm, seed, folder in study.runs_in(runs):
        run = list(CheckpointDir(folder))
        losses.append(_saved(arm, seed, run, "train_loss"))
        history = history_of(run)
        if (column := column_of(study)) in history:
            steps = history["step"]
            epochs = np.interp(steps, [c.step for c in run], [c.metrics.get("epoch", np.nan) for c in run])
            sizes.append(_frame(arm.label, seed, steps, epochs, history[column]))
    return _joined(losses), _joined(sizes)


def read_losses(study: Study, runs: Path, metric: str) -> pd.DataFrame:
    """What training saved at its checkpoints, in the same columns; NaN where it did not."""
    found = study.runs_in(runs)
    return _joined([_saved(arm, seed, list(CheckpointDir(folder)), metric) for arm, seed, folder in found])


def _saved(arm: Arm, seed: int, run: list[Checkpoint], metric: str) -> pd.DataFrame:
    steps, epochs, values = (
        np.array(column, dtype=float)
        for column in zip(
            *((c.step, c.metrics.get("epoch", np.nan), c.metrics.get(metric, np.nan)) for c in run), strict=True
        )
    )
    return _frame(arm.label, seed, steps.astype(int), epochs, values)


def validation_sentences(study: Study, runs: Path) -> list[str]:
    """Where along the training the test loss was lowest, and how much higher it is at the end; empty if not asked."""
    if not study.validation:
        return []
    tests = read_losses(study, runs, "test_loss").dropna(subset="value")
    said = []
    for label, group in tests.groupby("arm", sort=False):
        by_run = [run.sort_values("step") for _, run in group.groupby("seed")]
        lowest = [int(np.argmin(run["value"].to_numpy())) for run in by_run]
        low = over_seeds([float(run["value"].iloc[i]) for run, i in zip(by_run, lowest, strict=True)])
        epochs = [float(run["epoch"].iloc[i]) for run, i in zip(by_run, lowest, strict=True)]
        epoch = format_value(float(np.mean(epochs)))
        end = over_seeds([float(run["value"].iloc[-1]) for run in by_run])
        said.append(f"{label} {low} after {epoch} epochs, {end} at the end")
    return [f"The test loss along the training, at its lowest and at the end: {'; '.join(said)}."] if said else []


def _frame(arm: str, seed: int, steps: np.ndarray, epochs: np.ndarray, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"arm": arm, "seed": seed, "step": steps, "epoch": epochs, "value": values})


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    columns = ["arm", "seed", "step", "epoch", "value"]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
