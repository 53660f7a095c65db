"""Along the trajectory: gradient descent on a quadratic, where every column is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from landscape.errors import UsageError
from landscape.study import Arm, Study, Trajectory, follow
from landscape.study.trajectory import looks, sentences


def quadratic(**changes) -> Study:
    settings = {
        "name": "steps",
        "question": "?",
        "problem": "quadratic",
        "problem_config": {"eigenvalues": [4.0, 1.0, 0.25], "noise": 0.0},
        "arms": (Arm("gd", {"optimizer": "gd", "lr": 0.2}), Arm("momentum", {"optimizer": "momentum", "lr": 0.05})),
        "seeds": (0, 1),
        "settings": {"epochs": 20},
    }
    return Study(**settings | changes)


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    folder, said = tmp_path_factory.mktemp("trajectory"), []
    design = Trajectory(quadratic(), looks=6, top=2)
    return design, folder, pd.read_csv(follow(design, folder, workers=1, say=said.append)), said


def test_on_a_quadratic_each_step_does_what_its_slope_and_curvature_promise(followed):
    frame = followed[2]
    assert frame["stretch"].to_numpy() == pytest.approx(1.0, abs=1e-3)
    assert frame["lambda_max"].to_numpy() == pytest.approx(4.0, rel=1e-3)
    assert frame["convex"].all()
    assert frame["descent"].all()
    assert (frame["smoothness"] <= 1 + 1e-3).all()


def test_gradient_descent_goes_along_the_gradient_without_noise(followed):
    gd = followed[2].query("arm == 'gd'")
    assert gd["alignment"].to_numpy() == pytest.approx(1.0, abs=1e-5)
    assert (gd["noise_ratio"] == 0).all()
    assert (followed[2].query("arm == 'momentum'")["noise_ratio"] > 0).all()


def test_the_loss_of_gradient_descent_never_rises_below_two_over_lambda(followed):
    """Gradient descent below 2/λ shrinks every coordinate in every step: the loss never rises."""
    gd = followed[2].query("arm == 'gd' and seed == 0").sort_values("step")
    assert (np.diff(gd["loss"]) < 0).all()
    assert (gd["change"] < 0).all()


def test_a_run_that_is_there_is_not_made_again(followed):
    design, folder, frame, _ = followed
    before = (folder / "rows" / "gd-s0.csv").stat().st_mtime_ns
    (folder / "rows" / "momentum-s1.csv").unlink()
    again = pd.read_csv(follow(design, folder, workers=1))
    assert (folder / "rows" / "gd-s0.csv").stat().st_mtime_ns == before
    pd.testing.assert_frame_equal(frame, again)
    assert (folder / "trajectory.pdf").exists()


def test_the_sentences_give_each_arm_with_its_spread(followed):
    said = " ".join(sentences(followed[2]))
    assert "gd 100" in said
    assert "descent lemma" in said
    assert any("tangent" in line for line in followed[3])


def test_looks_are_spread_over_the_logarithm_and_hold_both_ends():
    found = looks(1000, 10)
    assert (found[0], found[-1]) == (0, 999)
    assert len(found) == 10
    assert looks(3, 50) == [0, 1, 2]
    with pytest.raises(UsageError, match="at least 2"):
        Trajectory(quadratic(), looks=1)
