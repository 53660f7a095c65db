"""Along the trajectory: gradient descent on a quadratic, where every column is known."""

from __future__ import annotations

import shutil

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
    assert (frame["smoothness"] <= 1 + 1e-3).all()


def test_gradient_descent_below_two_over_lambda_is_promised_to_descend_and_does(followed):
    """η = 0.2 where λ = 4: every step is 0.4 of 2/λ long and loses what the lemma promises."""
    gd = followed[2].query("arm == 'gd'")
    assert gd["step_share"].to_numpy() == pytest.approx(0.4, rel=1e-3)
    assert gd[["falls", "promised", "descent"]].all(axis=None)


def test_steps_beyond_two_over_lambda_are_neither_promised_nor_said_to_descend(tmp_path):
    """η = 0.55 where λ = 4: each step is 1.1 of 2/λ long, and the sharpest coordinate grows by 1.2 in each."""
    study = quadratic(arms=(Arm("gd", {"optimizer": "gd", "lr": 0.55}),), seeds=(0,), settings={"epochs": 30})
    frame = pd.read_csv(follow(Trajectory(study, looks=6, top=1), tmp_path, workers=1))
    assert frame["step_share"].to_numpy() == pytest.approx(1.1, rel=1e-3)
    assert not frame[["promised", "descent"]].any(axis=None)
    assert not frame["falls"].iloc[-1]
    assert "gd none was promised" in sentences(frame)[-1]


def test_rows_of_an_older_version_are_made_again(followed, tmp_path):
    design, folder, frame, _ = followed
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    old = tmp_path / "rows" / "gd-s0.csv"
    pd.read_csv(old).drop(columns=["step_share"]).to_csv(old, index=False)
    pd.testing.assert_frame_equal(frame, pd.read_csv(follow(design, tmp_path, workers=1)))


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
    assert "Steps at which the descent lemma promises that, η < 2/ℓ with ℓ = λ_max before the step: gd 100 %" in said
    gd = followed[2].query("arm == 'gd'")
    assert f"gd {len(gd)} of {len(gd)}" in said
    assert any("tangent" in line for line in followed[3])


def test_looks_are_spread_over_the_logarithm_and_hold_both_ends():
    found = looks(1000, 10)
    assert (found[0], found[-1]) == (0, 999)
    assert len(found) == 10
    assert looks(3, 50) == [0, 1, 2]
    with pytest.raises(UsageError, match="at least 2"):
        Trajectory(quadratic(), looks=1)
