"""Along the trajectory: is each step of training as smooth and convex theory has it?"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from landscape import plots
from landscape.checks import check_count
from landscape.escaping.spreadsheet import frame_csv
from landscape.estimators import gradient_share, top_eigenpairs
from landscape.geometry import examine_step
from landscape.jobs import Executor, Job, Outcome, available_cores, opened_executor
from landscape.operators import HessianOperator
from landscape.results import StepReport
from landscape.sampling import gradient_noise
from landscape.store.outputs import write_whole
from landscape.study.design import Study
from landscape.study.numbers import over_seeds
from landscape.study.trainings import do_all
from landscape.training import Training

#: column → words: shares of the steps looked at.
RATES = {
    "falls": "the loss falls",
    "promised": "the descent lemma promises that, η < 2/ℓ with ℓ = λ_max before the step",
    "convex": "the loss lies above its tangent",
}
#: Of a row, before its arm and seed.
COLUMNS = (
    "step", "loss", "change", "predicted", "stretch", "slope", "step_norm", "grad_norm", "alignment", "curvature",
    "mean_curvature", "lambda_max", "smoothness", "step_share", "falls", "promised", "descent", "convex", "top_share",
    "noise_ratio",
)  # fmt: skip


@dataclass(frozen=True)
class Trajectory:
    """Which steps of which runs are looked at.

    Attributes
    ----------
    study : Study
        Problem, arms and seeds; its learning rates are taken as they are.
    looks : int
        Steps examined in each run, evenly spaced in the logarithm of their number.
    top : int
        Eigenvectors of the top space; the number of classes, mostly.
    examples : int or None
        Examples of the loss that is looked at; None: all.
    """

    study: Study
    looks: int = 30
    top: int = 10
    examples: int | None = field(default=None)

    def __post_init__(self) -> None:
        check_count("looks", self.looks, least=2)
        check_count("top", self.top)
        if self.examples is not None:
            check_count("examples", self.examples)


def follow(
    design: Trajectory,
    out: str | Path,
    *,
    say: Callable[[str], None] | None = None,
    workers: int | None = None,
    executor: Executor | str | None = None,
) -> Path:
    """Train every arm and seed, look at steps on the way, and write ``trajectory.csv`` and a figure.

    Each row is one step d at θ: the fields of :class:`landscape.results.StepReport`, ``change`` and ``predicted`` and
    their ratio ``stretch``; the step size over 2/ℓ, ``step_share``, with ℓ = λ_max at θ (where that is not positive,
    the largest smoothness met by the steps looked at before); whether the loss ``falls``, the descent lemma
    ``promised`` it and was kept (``descent``), and the tangent lies below the loss (``convex``); the largest eigenvalue
    ``lambda_max``, the share ``top_share`` of the gradient in the top space, the squared noise of a batch over the
    squared gradient, ``noise_ratio``. A run that is there already with these columns is not made again.

    Parameters
    ----------
    workers : int, optional
        Processes of this machine; left out, one for each core.
    executor : str or Executor, optional
        Follows runs elsewhere, as :func:`landscape.analyze` takes it, where the folder is there under the same path.

    Returns
    -------
    Path
        ``out/trajectory.csv``.

    Raises
    ------
    LandscapeError
        If a run could not be followed, or its process died; the others are followed first, and kept.
    """
    out, say = Path(out), say or (lambda line: None)
    rows = Path(os.path.abspath(out / "rows"))
    rows.mkdir(parents=True, exist_ok=True)
    study, data = design.study, design.study.data
    if executor is not None and data is not None:
        data = os.path.abspath(data)
    looked_at = {"looks": design.looks, "top": design.top, "examples": design.examples}
    jobs = [
        Job(arm.run(seed), f"{__name__}:follow_job", (study.to_json(), data, looked_at, index, seed, str(rows)), 1)
        for seed in study.seeds
        for index, arm in enumerate(study.arms)
    ]

    def finished(outcome: Outcome) -> None:
        say(f"  {outcome.name}" + (f": {outcome.failure.reason}" if outcome.failure is not None else ""))

    count = workers or available_cores()
    with opened_executor(executor) as elsewhere:
        parts = do_all(jobs, doing="following", workers=count, executor=elsewhere, finished=finished)
    frame = pd.concat([pd.read_csv(part.value) for part in parts], ignore_index=True)
    write_whole(out / "trajectory.csv", frame_csv(frame))
    with plots.house_style():
        plots.save(plots.step_panels(frame), out, "trajectory")
    for sentence in sentences(frame):
        say(sentence)
    return out / "trajectory.csv"


def sentences(frame: pd.DataFrame) -> list[str]:
    """What held how often, by arm, with the interval over seeds."""
    made = []
    for column, words in RATES.items():
        held = []
        for label, group in frame.groupby("arm", sort=False):
            rates = (100 * group.groupby("seed")[column].mean()).to_list()
            held.append(f"{label} {over_seeds(rates)} %")
        made.append(f"Steps at which {words}: {', '.join(held)}.")
    medians = [f"{label} {group['stretch'].median():.2f}" for label, group in frame.groupby("arm", sort=False)]
    made.append(f"Median of the change met over the change predicted by the quadratic model: {', '.join(medians)}.")
    return [*made, *_kept_promises(frame)]


def _kept_promises(frame: pd.DataFrame) -> list[str]:
    """Of the steps that were promised to descend, how many did as far as promised."""
    said = []
    for label, group in frame.groupby("arm", sort=False):
        promised = group[group["promised"]]
        kept = int(promised["descent"].sum())
        said.append(f"{label} {kept} of {len(promised)}" if len(promised) else f"{label} none was promised")
    return [f"Of the steps that the descent lemma promises to descend, the loss fell as far at: {', '.join(said)}."]


def follow_job(study: str, data: str | None, looked_at: dict[str, Any], index: int, seed: int, folder: str) -> str:
    """A job: one training, looked at on the way; the file of its rows."""
    design = Trajectory(Study.from_json(study, data=data), **looked_at)
    arm = design.study.arms[index]
    part = Path(folder) / f"{arm.run(seed)}.csv"
    if part.exists() and set(pd.read_csv(part, nrows=0).columns) >= set(COLUMNS):
        return str(part)
    settings = design.study.settings_of(arm, seed=seed)
    training = Training(design.study.problem_of(arm), settings, Path(folder))
    with training.seeded():
        rows = _looked_at(design, training, settings)
    return str(write_whole(part, pd.DataFrame(rows).assign(arm=arm.label, seed=seed).to_csv(index=False)))


def _looked_at(design: Trajectory, training: Training, settings: dict[str, Any]) -> list[dict[str, Any]]:
    model = training.model.eval()
    objective = training.problem.objective(model, check=False)
    if design.examples is not None and design.examples < objective.num_examples:
        objective = objective.on_first(design.examples)
    chosen, moving = set(looks(training.total_steps, design.looks)), any(True for _ in model.buffers())
    H: HessianOperator | None = None
    rows, guess, met = [], None, 0.0
    for step in range(training.total_steps):
        theta = objective.theta
        training.advance()
        if step not in chosen:
            continue
        model.eval()
        # A recording holds the buffers as they were: with running statistics each step has its own.
        H = HessianOperator(objective, theta, expected_matvecs=50) if H is None or moving else H.at(theta)
        eigs = top_eigenpairs(H, min(design.top, H.dim), tol=1e-2, start=guess, strict=False)
        guess = eigs.vectors
        batch = min(settings["batch_size"], objective.num_examples)
        noise = 0.0  # of a batch that is all there is
        if 2 * batch <= objective.num_examples:
            noise = gradient_noise(objective, batch_size=batch, theta=theta, seed=step).value
        largest = eigs.largest
        assert largest is not None
        share = gradient_share(objective.gradient(theta), eigs).value
        known = largest.interval()[1] if largest.value > 0 else met
        report = examine_step(objective, theta, objective.theta, smoothness=known)
        met = max(met, report.smoothness)
        rows.append(dict(zip(COLUMNS, _numbers(step, report, largest.value, share, noise), strict=True)))
    return rows


def _numbers(step: int, report: StepReport, lambda_max: float, top_share: float, noise: float) -> tuple[Any, ...]:
    """In the order of ``COLUMNS``."""
    return (
        step, report.loss, report.change, report.predicted, report.decrease_ratio, report.slope, report.step_norm,
        report.grad_norm, report.alignment, report.curvature, report.mean_curvature, lambda_max,
        report.smoothness / lambda_max if lambda_max > 0 else float("nan"), report.step_share,
        report.change < -report.rounding, report.promises_descent, report.within_descent_bound, report.is_convex,
        top_share, noise / report.grad_norm**2,
    )  # fmt: skip


def looks(total: int, count: int) -> Sequence[int]:
    """Numbers of the steps to look at, from the first to the last, evenly spaced in the logarithm of number + 1."""
    return sorted({min(total - 1, round(x) - 1) for x in np.geomspace(1, total, count).tolist()})
