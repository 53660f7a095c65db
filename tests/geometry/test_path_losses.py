"""The loss of a path beside that of the plane below it, and the walk that knows nothing beside both."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape import plots
from landscape.errors import UsageError
from tests.support.landscapes import built, draw


@pytest.fixture
def wide():
    """½‖θ‖² in ten parameters."""
    with torch.random.fork_rng():
        model = torch.nn.Linear(10, 1, bias=False).double()
    eye = torch.eye(10, dtype=torch.float64)
    return ls.Objective(model, lambda out, _: 5 * out.square().mean(), (eye, torch.zeros(10, 1)))


PATHS = {"a": draw(6, 10, seed=1).numpy(), "b": draw(4, 10, seed=2).numpy()}


@pytest.mark.parametrize("tol", [None, 0.01])
def test_each_position_has_its_own_loss_and_the_plane_that_of_its_projection(wide, tol):
    found = ls.evaluate_paths(wide, PATHS, points=9, tol=tol)
    theta = np.concatenate(list(PATHS.values()))
    assert found.losses == pytest.approx((theta**2).sum(1) / 2)
    assert found.plane_losses == pytest.approx(found.losses - found.outside**2 / 2 - _across(theta, found))
    assert (found.plane_losses < found.losses).any()
    only = found.only(["b"])
    assert np.array_equal(only.losses, found.losses[6:])
    assert np.array_equal(only.plane_losses, found.plane_losses[6:])
    assert "off the plane" in str(found)


def _across(theta, found):
    """What is left of ½‖θ‖² − ½‖projection‖² − ½ outside²: the part of the mean that the offset sees."""
    mean = theta.mean(0)
    plane = ls.pca_plane(PATHS)
    away = theta - mean - plane.coordinates @ plane.vectors.T
    return away @ mean


def test_the_surface_at_few_nodes_is_the_quadratic_around_the_middle_of_the_paths(wide):
    exactly, few = (ls.evaluate_paths(wide, PATHS, points=21, tol=tol) for tol in (None, 0.01))
    assert few.num_evaluations < exactly.loss.size
    assert np.abs(few.loss - exactly.loss).max() <= few.error + 1e-12
    assert "evaluations, error" in str(few)


def test_on_the_whole_space_both_are_the_same_and_there_is_no_walk():
    objective = ls.Objective(built(lambda: nn.Linear(1, 1)).double(), nn.functional.mse_loss,
                             (draw(5, 1), draw(5, 1, seed=1)))  # fmt: skip
    found = ls.evaluate_paths(objective, {"a": draw(4, 2, seed=3).numpy()}, points=5)
    assert np.array_equal(found.losses, found.plane_losses)
    assert found.losses == pytest.approx([objective.loss(theta) for theta in draw(4, 2, seed=3)])
    assert len(found.walks) == 0


def test_checkpoints_have_the_losses_of_their_own_running_statistics(tmp_path):
    model = built(lambda: nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)))
    data, wanted = (draw(24, 5).float(), torch.arange(24) % 3), []
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for step in range(3):
        for _ in range(3):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(data[0]), data[1]).backward()
            optimizer.step()
        ls.save_checkpoint(tmp_path / "run", model, step=step)
        wanted.append(ls.Objective(model, nn.functional.cross_entropy, data).loss())
    objective = ls.Objective(model, nn.functional.cross_entropy, data)
    found = ls.evaluate_paths(objective, {"run": ls.CheckpointDir(tmp_path / "run")}, points=4)
    assert found.losses.tolist() == wanted
    vectors = [c.theta() for c in ls.CheckpointDir(tmp_path / "run")]
    recomputed = ls.evaluate_paths(objective, {"run": vectors}, points=4)
    assert np.array_equal(recomputed.points, found.points)
    assert recomputed.losses.tolist() != wanted


def test_losses_are_left_out_where_they_are_not_asked_for(wide):
    found = ls.evaluate_paths(wide, PATHS, points=5, losses=False)
    assert len(found.losses) == len(found.only(["a"]).losses) == 0
    with pytest.raises(UsageError, match="were not evaluated"):
        plots.plot_path_losses(found)


def test_the_figure_has_both_losses_of_each_path(wide):
    found = ls.evaluate_paths(wide, PATHS, points=5)
    ax = plots.plot_path_losses(found)
    drawn = [line.get_ydata() for line in ax.lines if len(line.get_ydata())]
    assert [len(one) for one in drawn] == [6, 6, 4, 4]
    assert np.array_equal(drawn[0], found.losses[:6])
    assert np.array_equal(drawn[3], found.plane_losses[6:])
