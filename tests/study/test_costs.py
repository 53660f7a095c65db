"""What a loss costs: counted to the step, against closed forms on a parabola."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.checkpoints import CheckpointDir
from landscape.study import Arm, Tuning
from landscape.study.costs import GRADIENT, course_of, courses, draw_costs, notes, spent
from landscape.study.quantities import caption, table, told
from tests.support.studies import trained

PARABOLA = {"problem": "quadratic", "problem_config": {"eigenvalues": [1.0], "noise": 0.0}, "paths": False}


@pytest.fixture(scope="module")
def on_a_parabola(tmp_path_factory):
    """Gradient descent halves the distance at every step, so the loss falls by 4; a slow one never comes there."""
    folder = tmp_path_factory.mktemp("costs")
    arms = (
        Arm("half", {"optimizer": "gd", "lr": 0.5}),
        Arm("slow", {"optimizer": "gd", "lr": 1e-6}),
        Arm("search", {"optimizer": "line-search", "lr": 1.0}),
        Arm("batches", {"optimizer": "sgd", "lr": 0.1, "batch_size": 32}),
    )
    settings = {"epochs": 30, "save_every": 10}
    study = trained(folder, arms=arms, settings=settings, costs=(1e-2, 1e-6), **PARABOLA)
    return study, folder


def test_the_cost_of_a_loss_is_the_number_of_gradients_that_theory_has(on_a_parabola):
    study, folder = on_a_parabola
    losses, gradients, cost = spent(study, courses(study, folder))[:3]
    for seed in study.seeds:
        first = CheckpointDir(folder / f"half-s{seed}")[0].metrics["train_loss"]
        steps = max(0, math.ceil(math.log(first / 1e-2) / math.log(4)))
        assert gradients.values["half"][seed] == steps
        assert losses.values["half"][seed] == 0
        assert cost.values["half"][seed] == GRADIENT * steps
        # One step of the search is at the bottom: a gradient there and the loss of the step of 1, then no more.
        assert (losses.values["search"][seed], gradients.values["search"][seed]) == (1, 1)


def test_a_run_that_never_comes_to_the_loss_has_no_cost_and_its_arm_no_difference(on_a_parabola):
    study, folder = on_a_parabola
    found = spent(study, courses(study, folder))
    assert "slow" not in found[2].values
    said = told(study, found)
    assert "; found in none of slow" in said[0]
    assert "of 3." in said[-1], "three arms make three pairs; the fourth is in none"
    assert "0 of 3" in table(study, found)
    assert "only k of the n runs came to it" in caption(found)


def test_batches_are_read_at_checkpoints_in_passes_over_the_data(on_a_parabola):
    study, folder = on_a_parabola
    course = course_of(folder / "batches-s0")
    run = CheckpointDir(folder / "batches-s0")
    assert course.gradients == pytest.approx(np.array(run.steps) / 4)
    assert course.loss.tolist() == [checkpoint.metrics["train_loss"] for checkpoint in run]
    said = notes(study, courses(study, folder))
    assert any(line.startswith("Costs of batches are read at checkpoints") for line in said)
    assert not any("was trained" in line for line in said)
    tuned = trained(folder, arms=study.arms[:1], settings=study.settings, costs=(1e-2,), tuning=Tuning(), **PARABOLA)
    assert any("was trained 10 times" in line for line in notes(tuned, courses(tuned, folder)))


def test_the_picture_has_the_lowest_loss_against_what_was_spent(on_a_parabola):
    study, folder = on_a_parabola
    (ax,) = draw_costs(study, courses(study, folder)).figure.axes
    line = next(line for line in ax.lines if line.get_label() == "half")
    ends = [CheckpointDir(folder / f"half-s{seed}")[-1].metrics["train_loss"] for seed in study.seeds]
    assert line.get_xdata()[-1] == pytest.approx(GRADIENT * 30)
    assert line.get_ydata()[-1] == pytest.approx(np.median(ends), rel=1e-6)
    assert (np.diff(line.get_ydata()) <= 0).all()


def test_a_study_that_asks_for_no_costs_has_none(on_a_parabola):
    _, folder = on_a_parabola
    arms, settings = (Arm("half", {"optimizer": "gd", "lr": 0.5}),), {"epochs": 30, "save_every": 10}
    quiet = trained(folder, arms=arms, settings=settings, **PARABOLA)
    assert courses(quiet, folder) == {}
    assert spent(quiet, {}) == notes(quiet, {}) == []
    assert draw_costs(quiet, {}) is None
