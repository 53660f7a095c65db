"""Paths on the plane of a problem's own variables: there are all arms at home, however they treat the constraint."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.checkpoints import CheckpointDir
from landscape.study import Arm
from landscape.study.charts import draw_chart, positions
from tests.support.studies import trained

C = {"active": (-1.5, 0.5), "inactive": (1.5, 0.5)}


@pytest.fixture(scope="module")
def by_half_plane(tmp_path_factory):
    folder = tmp_path_factory.mktemp("charts")
    arms = tuple(
        Arm(f"{method}-{place}", {"problem_config": {"c": c, "method": method}, "lr": 0.1})
        for place, c in C.items()
        for method in ("none", "square")
    )
    sets = {place: [arm.label for arm in arms if arm.label.endswith(f"-{place}")] for place in C}
    settings = {"optimizer": "gd", "epochs": 60, "save_every": 5}
    study = trained(folder, problem="half-plane", arms=arms, seeds=(0,), settings=settings, within=sets)
    return study, folder


def test_a_path_is_that_of_x_and_not_of_the_parameters(by_half_plane):
    study, folder = by_half_plane
    for arm in study.arms:
        path = positions(study, arm, folder / arm.run(0))
        run, problem = CheckpointDir(folder / arm.run(0)), study.problem_of(arm)
        assert len(path) == len(run) == 13
        x = problem.make_model(0).double()
        x.load_state_dict(run[-1].model(problem).state_dict())
        assert path[-1] == pytest.approx(x.x.detach().numpy(), abs=1e-6)
    start = {arm.label: positions(study, arm, folder / arm.run(0))[0] for arm in study.arms}
    assert start["none-active"] == pytest.approx(start["square-inactive"], abs=1e-6)


def test_each_set_has_a_panel_with_its_paths_the_constraint_and_the_solution(by_half_plane):
    study, folder = by_half_plane
    panels = draw_chart(study, folder).figure.axes
    assert [ax.get_title() for ax in panels] == ["active", "inactive"]
    for ax, place in zip(panels, C, strict=True):
        (star,) = (line for line in ax.lines if line.get_marker() == "*")
        arm = next(arm for arm in study.arms if arm.label == f"none-{place}")
        assert star.get_xydata()[0] == pytest.approx(study.problem_of(arm).chart.solution)
        hatched = ax.collections
        assert len(hatched) >= 4, "contours of the loss, and the constraint with its boundary"
        ends = [line.get_xydata()[-1] for line in ax.lines if len(line.get_xdata()) == 13]
        assert len(ends) == 2
        outside = [end @ np.array([1.0, 1.0]) < -1e-3 for end in ends]
        assert outside == ([True, False] if place == "active" else [False, False])


def test_a_problem_without_a_chart_has_no_such_picture(tmp_path):
    study = trained(tmp_path, problem="two-well", arms=(Arm("sgd"),), seeds=(0,), settings={"epochs": 1})
    assert draw_chart(study, tmp_path) is None
