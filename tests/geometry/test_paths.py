"""The loss around the paths of trainings: the plane, the positions on it, and what is left out of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import landscape as ls
from landscape import plots
from landscape.errors import UsageError


def line_objective():
    """L(w, b) = mean (w x + b − y)² on three points."""
    x, y = torch.tensor([[-1.0], [0.0], [2.0]], dtype=torch.float64), torch.tensor([[1.0], [0.0], [1.0]]).double()
    with torch.random.fork_rng():
        model = torch.nn.Linear(1, 1).double()
    return ls.Objective(model, torch.nn.functional.mse_loss, (x, y)), x.numpy(), y.numpy()


@pytest.fixture
def wide():
    """A quadratic in ten parameters: ½‖θ‖²."""
    with torch.random.fork_rng():
        model = torch.nn.Linear(10, 1, bias=False).double()
    eye = torch.eye(10, dtype=torch.float64)
    return ls.Objective(model, lambda out, _: 0.5 * 10 * out.square().mean(), (eye, torch.zeros(10, 1)))


def test_with_two_parameters_the_axes_are_the_parameters_and_the_loss_is_theirs():
    objective, x, y = line_objective()
    path = np.array([[0.0, 0.0], [0.5, -0.5], [1.0, 0.25]])
    found = ls.evaluate_paths(objective, {"gd": path}, points=9)
    assert found.directions == ("weight", "bias")
    assert (found.path("gd") == path).all()
    assert found.explained == 1.0
    assert (found.outside == 0).all()
    want = [[np.mean((w * x + b - y) ** 2) for w in found.x] for b in found.y]
    assert found.loss == pytest.approx(np.array(want))
    assert found.x.min() < 0 < 1 < found.x.max()
    assert found.y.min() < -0.5 < 0.25 < found.y.max()


def test_paths_within_a_plane_are_found_whole(wide):
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.standard_normal((10, 2)))[0]
    inside = rng.standard_normal((12, 2)) * [3.0, 1.0]
    found = ls.evaluate_paths(wide, {"a": inside[:5] @ axes.T, "b": inside[5:] @ axes.T}, points=7)
    assert found.explained == pytest.approx(1.0)
    assert found.outside == pytest.approx(0, abs=1e-12)
    # Distances between positions are those in the whole space, whatever the axes' signs.
    apart = np.linalg.norm(found.points[:, None] - found.points[None], axis=-1)
    assert apart == pytest.approx(np.linalg.norm(inside[:, None] - inside[None], axis=-1))
    assert [len(found.path(name)) for name in ("a", "b")] == [5, 7]


def test_what_lies_off_the_plane_is_its_distance_and_its_share_of_the_variance(wide):
    theta = np.zeros((6, 10))
    theta[:, 0], theta[:, 1] = [-4, 4, 0, 0, 0, 0], [0, 0, -2, 2, 0, 0]
    theta[4, 2], theta[5, 2] = 0.5, -0.5
    found = ls.evaluate_paths(wide, {"run": theta}, points=5)
    assert found.outside == pytest.approx([0, 0, 0, 0, 0.5, 0.5])
    assert found.explained == pytest.approx((32 + 8) / (32 + 8 + 0.5))
    # ½‖θ‖² on the plane through the mean, which is the origin
    want = [[(x**2 + y**2) / 2 for x in found.x] for y in found.y]
    assert found.loss == pytest.approx(np.array(want))


def test_cells_are_square_and_a_narrow_path_costs_fewer_losses(wide):
    theta = np.zeros((5, 10))
    theta[:, 0], theta[:, 1] = np.linspace(0, 10, 5), [0, 0.1, 0, 0.1, 0]
    found = ls.evaluate_paths(wide, {"run": theta}, points=21)
    assert len(found.x) == 21
    assert len(found.y) < 12
    assert np.diff(found.x)[0] == pytest.approx(np.diff(found.y)[0], rel=0.3)


def test_paths_that_cannot_be_drawn_are_refused_with_the_reason(wide):
    good = np.eye(10)[:3]
    for paths, said in (
        ({}, "no path was given"),
        ({"a": []}, "has no position"),
        ({"a": good[:, :4]}, r"positions of shape \(4,\)"),
        ({"a": good * np.nan}, "NaN or infinity at 3"),
        ({"a": good[:1]}, "never move"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.evaluate_paths(wide, paths)
    with pytest.raises(UsageError, match="at least 3"):
        ls.evaluate_paths(wide, {"a": good}, points=2)
    with pytest.raises(UsageError, match="there are a"):
        ls.evaluate_paths(wide, {"a": good}, points=3).path("b")


def test_the_figure_shows_every_path_where_it_runs():
    objective, _, _ = line_objective()
    paths = {"sgd": np.array([[0.0, 0.0], [0.5, -0.5]]), "adam": np.array([[0.0, 0.0], [-0.5, 0.5], [0.2, 0.2]])}
    ax = plots.plot_paths(ls.evaluate_paths(objective, paths, points=9))
    drawn = {line.get_label(): line.get_xydata() for line in ax.lines}
    for name, path in paths.items():
        assert (np.asarray(drawn[name]) == path).all()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight", "bias")
    assert ax.get_figure() is not None
