"""The plane through three models: where they lie, their exact losses, and models that make no plane."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import UsageError
from tests.support.landscapes import DOUBLE, Quadratic, built, draw


def three(dim: int = 4) -> list[np.ndarray]:
    return [draw(dim, seed=seed).numpy() for seed in (11, 12, 13)]


def test_each_model_lies_where_the_plane_says_and_axes_are_orthonormal():
    thetas = three(50)
    plane = ls.model_plane(*thetas, names=("x", "y", "z"))
    assert plane.vectors.T @ plane.vectors == pytest.approx(np.eye(2), abs=1e-14)
    for theta, place in zip(thetas, plane.coordinates, strict=True):
        assert plane.origin + plane.vectors @ place == pytest.approx(theta, abs=1e-13)
    for (m, n), length in plane.distances.items():
        a, b = (thetas["xyz".index(name)] for name in (m, n))
        assert length == pytest.approx(np.linalg.norm(a - b))
    assert plane.coordinates.min(0) + plane.coordinates.max(0) == pytest.approx([0, 0], abs=1e-13)
    assert plane.coordinates[1, 0] > plane.coordinates[0, 0]
    assert plane.coordinates[2, 1] > plane.coordinates[0, 1] == pytest.approx(plane.coordinates[1, 1])


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (DOUBLE, 1e-12)])
def test_the_surface_is_the_quadratic_and_the_three_losses_are_exact_to_the_bit(dtype, rtol):
    problem = Quadratic(dtype)
    plane = ls.model_plane(*three())
    surface = ls.evaluate_plane(problem.objective, plane, points=7)
    places = [plane.origin + plane.vectors @ (x, y) for y in surface.y for x in surface.x]
    assert surface.loss.ravel() == pytest.approx([problem.loss(w) for w in places], rel=rtol)
    assert surface.mark_names == ("a", "b", "c")
    assert surface.mark_losses.tolist() == [problem.objective.loss(theta) for theta in plane.thetas]
    assert surface.mark_points == pytest.approx(plane.coordinates, abs=1e-5)
    assert surface.mark_outside.max() < 1e-5
    for axis, places_along in zip((surface.x, surface.y), plane.coordinates.T, strict=True):
        assert axis[0] < places_along.min()
        assert places_along.max() < axis[-1]


def batch_normalised(seed: int) -> ls.Objective:
    model = built(lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)), seed)
    with torch.no_grad():
        for _ in range(5):
            model(draw(16, 5, seed=seed).float() + seed)
    return ls.Objective(model.eval(), nn.functional.cross_entropy, (draw(24, 5).float(), torch.arange(24) % 3))


def test_each_model_has_the_loss_of_its_own_running_statistics():
    a, b, c = (batch_normalised(seed) for seed in (1, 2, 3))
    plane = ls.model_plane(a, b, c)
    surface = ls.evaluate_plane(a, plane, marks={"a": a, "b": b, "c": c}, points=3, metrics=("accuracy",))
    assert surface.batch_statistics == "recompute"
    assert surface.mark_losses.tolist() == [one.loss() for one in (a, b, c)]
    # Of a vector nothing else is known than what the data say, as on the surface.
    alone = ls.evaluate_plane(a, plane, points=3)
    assert alone.mark_losses[1] != b.loss()
    assert np.isfinite(alone.mark_losses).all()


def test_checkpoints_are_marked_with_their_own_buffers(tmp_path):
    objectives = [batch_normalised(seed) for seed in (1, 2, 3)]
    for step, one in enumerate(objectives):
        ls.save_checkpoint(tmp_path / "run", one.module.model, step=step)
    checkpoints = list(ls.CheckpointDir(tmp_path / "run"))
    plane = ls.model_plane(*checkpoints)
    marks = dict(zip("abc", checkpoints, strict=True))
    surface = ls.evaluate_plane(objectives[0], plane, marks=marks, points=3)
    assert surface.mark_losses.tolist() == [one.loss() for one in objectives]


def test_any_position_is_marked_at_its_projection_with_its_distance():
    problem = Quadratic()
    q = np.linalg.qr(draw(4, 4, seed=5).numpy())[0]
    columns = np.stack([2 * q[:, 0], q[:, 0] + 3 * q[:, 1]], axis=1)
    theta = problem.objective.theta.numpy()
    away = theta + columns @ (0.5, -0.25) + 0.7 * q[:, 2]
    surface = ls.evaluate_plane(problem.objective, columns, points=3, marks={"away": away})
    assert surface.mark_points == pytest.approx(np.array([[0.5, -0.25]]))
    assert surface.mark_outside == pytest.approx([0.7])
    assert surface.mark_losses == pytest.approx([problem.loss(away)])
    assert "0.7 off the plane" in str(surface)


def test_another_centre_moves_the_picture_so_that_the_models_stay_on_it():
    problem, plane = Quadratic(), ls.model_plane(*three())
    surface = ls.evaluate_plane(problem.objective, plane, theta=plane.thetas[0], points=5)
    assert surface.loss[2, 2] == problem.objective.loss(plane.thetas[0])
    assert surface.mark_points[0] == pytest.approx([0, 0], abs=1e-12)
    assert surface.x[-1] > surface.mark_points[:, 0].max()
    assert surface.y[-1] > surface.mark_points[:, 1].max()


def test_models_that_make_no_plane_are_refused_with_the_numbers():
    a, step = np.zeros(5), np.ones(5)
    with pytest.raises(UsageError, match=r"on one line: ‖a − b‖ = 2\.236, ‖a − c‖ = 6\.708.*c is .* off the line"):
        ls.model_plane(a, step, 3 * step)
    with pytest.raises(UsageError, match="two of the three models are one point"):
        ls.model_plane(a, step, step)
    with pytest.raises(UsageError, match="5, 5, 4 parameters"):
        ls.model_plane(a, step, np.ones(4))
    with pytest.raises(UsageError, match="three different names"):
        ls.model_plane(*three(), names=("a", "a", "b"))
