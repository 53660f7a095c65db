"""What a study watches at every step, told where training stopped: distances, or step sizes beside 2/λ_max."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from landscape.plots.arrays import group_of
from landscape.statistics import mean_interval
from landscape.store.catalogue import MEASURES
from landscape.study.findings import Material
from landscape.study.histories import column_of, read_histories, words_of
from landscape.study.numbers import SAME, number, over_seeds

#: Share of the steps over which the end is averaged.
END = 0.1
#: Optimizers that move θ by their step size times the gradient, so that 2/λ_max is their limit on a quadratic.
PLAIN = ("gd", "sgd", "polyak-sgd", "polyak-sgd-max", "line-search", "hypergradient-sgd")


def watched_sentences(material: Material) -> list[str]:
    """The mean over the last tenth of the steps by arm, smallest first; of step sizes also in units of 2/λ_max."""
    study = material.study
    if not study.watched:
        return []
    at_end = watched_at_end(material)
    if not at_end:
        return [f"no run has a history of its {words_of(study)}."]
    by_arm = {arm.label: [at_end[key] for key in at_end if key[0] == arm.label] for arm in study.arms}
    said = [f"the {words_of(study)} over the last tenth of the steps: {_listed(by_arm)}."]
    if column_of(study) == "step_size" and (ratios := steps_over_limit(material, at_end)):
        said.append(
            "step sizes there times λ_max where training stopped, over 2, where 1 is the limit of gradient descent on "
            f"a quadratic: {_listed(ratios)}."
        )
    return said


def watched_at_end(material: Material) -> dict[tuple[str, int], float]:
    """(arm, seed) → mean over the last tenth of the steps of a run."""
    _, found = read_histories(material.study, material.results.parent)
    ends: dict[tuple[str, int], float] = {}
    for arm, of_arm in found.groupby("arm", sort=False):
        for seed, frame in of_arm.groupby("seed"):
            last = frame["step"] > frame["step"].max() * (1 - END)
            ends[str(arm), int(str(seed))] = float(frame.loc[last, "value"].mean())
    return ends


def steps_over_limit(material: Material, at_end: dict[tuple[str, int], float]) -> dict[str, list[float]]:
    """η·λ_max/2 of each run, by arm, of optimizers for which 2/λ_max is the limit."""
    plain = {arm.label for arm in material.study.arms if material.study.settings_of(arm)["optimizer"] in PLAIN}
    ratios: dict[str, list[float]] = {}
    for run in material.found.runs:
        label = group_of(run)
        size = None if run.seed is None else at_end.get((label, run.seed))
        if label not in plain or size is None or not run.checkpoints:
            continue
        found = MEASURES["lambda_max"].read(run.last)
        if found is not None:
            ratios.setdefault(label, []).append(size * found.value / 2)
    return ratios


def _listed(by_arm: dict[str, list[float]]) -> str:
    centres = {arm: float(np.mean(values)) for arm, values in by_arm.items() if values}
    return ", ".join(f"{arm} {_text(by_arm[arm])}" for arm in sorted(centres, key=centres.__getitem__))


def _text(values: Iterable[float]) -> str:
    """An interval that is wider than its mean says no more than the mean's first digits."""
    many = list(values)
    mean, low, _, _ = mean_interval(many)
    return over_seeds(many) if np.isfinite(low) and mean - low > SAME * abs(mean) else number(mean)
