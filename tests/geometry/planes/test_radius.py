"""radius="auto": the closed form on parabolas, what it does without one, and pictures of trained networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from tests.support.landscapes import DOUBLE, built, draw, of_point

START = np.array([3.0, 4.0])


def bowl(lowest: float, first: float = 50.0, second: float = 0.5, *, slope: float = 0.0) -> ls.Objective:
    """L = lowest + slope·u + ½(first·u² + second·v²) around (3, 4)."""

    def loss(w):
        u, v = w[0] - 3, w[1] - 4
        return lowest + slope * u + 0.5 * (first * u**2 + second * v**2)

    return of_point(loss, START.tolist())


def edges(line: ls.LineSlice) -> float:
    return float(max(line.loss[0], line.loss[-1]) / line.loss[len(line.loss) // 2])


@pytest.mark.parametrize("lowest", [1e-4, 1e-2, 1.0, 30.0])
@pytest.mark.parametrize("length", [1e-2, 1.0, 7.0])
def test_on_a_parabola_the_loss_at_the_edge_is_ten_times_that_in_the_middle(lowest, length):
    line = ls.evaluate_line(bowl(lowest), np.array([length, 0.0]), radius="auto", points=5)
    assert line.t[-1] == pytest.approx(min(np.sqrt(2 * 9 * lowest / 50), 5.0) / length, rel=1e-9)
    assert edges(line) == pytest.approx(10, rel=1e-9)
    assert "the loss at the edge is 10 times that in the middle" in line.radius_words
    assert line.num_evaluations == 5 + 3
    assert line.param_norm == pytest.approx(5)
    assert "‖θ‖" in str(line)


def test_a_slope_is_seen_by_the_losses_and_brings_the_edge_back():
    """At the first guess, by curvature alone, it is six hundred times the loss."""
    line = ls.evaluate_line(bowl(1e-4, slope=10.0), np.array([1.0, 0.0]), radius="auto", points=5)
    assert 2 <= edges(line) <= 100


def test_a_flat_direction_is_shown_as_far_as_the_parameters_are_long():
    line = ls.evaluate_line(bowl(1.0, second=1e-3), np.array([0.0, 2.0]), radius="auto", points=5)
    assert line.t[-1] * line.step_norm == pytest.approx(5)
    assert "it reaches ‖θ‖, where the loss at the edge is 1 times" in line.radius_words


@pytest.mark.parametrize("second", [-0.5, 0.0])
def test_without_a_curvature_above_zero_it_begins_at_a_tenth_of_the_parameters(second):
    seen = []

    def loss(w):
        seen.append(float(w[1].detach()))
        return 1.0 + 0.5 * second * (w[1] - 4) ** 2 + 10 * (w[1] - 4) ** 4 + 0 * w[0]

    line = ls.evaluate_line(of_point(loss, START.tolist()), np.array([0.0, 1.0]), radius="auto", points=3)
    assert any(abs(value - 4.5) < 1e-12 for value in seen)
    assert 2 <= edges(line) <= 100


def test_where_the_loss_is_not_finite_the_edge_comes_nearer():
    objective = of_point(lambda w: 1.0 - torch.log(1 - (w[0] - 3) ** 2 / 0.01) + 0 * w[1], START.tolist())
    line = ls.evaluate_line(objective, np.array([1.0, 0.0]), radius="auto", points=5)
    assert np.isfinite(line.loss).all()
    assert line.t[-1] < 0.1


@pytest.mark.parametrize("lowest", [0.0, -2.0])
def test_a_loss_of_zero_or_below_has_a_radius_too(lowest):
    line = ls.evaluate_line(bowl(lowest), np.array([1.0, 0.0]), radius="auto", points=5)
    wanted = 0.5 if lowest == 0 else np.sqrt(2 * 9 * 2 / 50)
    assert line.t[-1] == pytest.approx(wanted, rel=1e-9)


def test_a_plane_has_one_radius_by_its_steeper_axis_and_two_where_these_are_far_apart():
    near = ls.evaluate_plane(bowl(1e-2, 50, 5), np.eye(2), radius="auto", points=5)
    assert near.x[-1] == near.y[-1] == pytest.approx(np.sqrt(18e-2 / 50))
    far = ls.evaluate_plane(bowl(1e-2, 50, 0.5), np.eye(2), radius="auto", points=5)
    assert (far.x[-1], far.y[-1]) == (pytest.approx(np.sqrt(18e-2 / 50)), pytest.approx(np.sqrt(18e-2 / 0.5)))


def test_the_operator_that_is_handed_over_is_the_one_that_is_asked():
    class Counting:
        dtype, device, asked = DOUBLE, torch.device("cpu"), 0

        def __matmul__(self, v):
            self.asked += 1
            return 8.0 * v

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Linear(3, 1).double()
    objective = ls.Objective(model, nn.functional.mse_loss, (draw(100, 3), draw(100, 1, seed=1)))
    hessian = Counting()
    line = ls.evaluate_line(objective, np.array([1.0, 0, 0, 0]), radius="auto", points=3, hessian=hessian)
    assert hessian.asked == 1
    assert line.curvature == pytest.approx(8)


def test_planes_through_positions_reach_around_them():
    objective = bowl(1.0)
    plane = ls.pca_plane(np.array([[0.0, 0], [10, 0], [0, 1]]))
    surface = ls.evaluate_plane(objective, plane, points=5)
    for axis, along in zip((surface.x, surface.y), plane.coordinates.T, strict=True):
        assert axis[-1] > 1.2 * np.abs(along).max()
    given = ls.evaluate_plane(objective, plane, points=5, radius=(2.0, 3.0))
    assert (given.x[-1], given.y[-1], given.radius_words) == (2.0, 3.0, "")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_pictures_of_trained_networks_are_neither_flat_nor_exploded_over_four_decades_of_loss(dtype):
    model = built(lambda: nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)))
    model, x, y = model.to(dtype), draw(60, 5, seed=2).to(dtype), torch.arange(60) % 3
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    levels, seen = [1.0, 1e-1, 1e-2, 1e-3, 1e-4], []
    while levels:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        if float(loss.detach()) <= levels[0]:
            levels.pop(0)
            objective = ls.Objective(model, nn.functional.cross_entropy, (x, y))
            eigs = ls.top_eigenpairs(ls.HessianOperator(objective), 2, tol=1e-2, strict=False)
            for name, index in (("top", 0), ("top", 1), ("gradient", 0), ("random", 0), ("random", 1)):
                d = ls.direction(objective, name, eigs=eigs, index=index)
                line = ls.evaluate_line(objective, d, radius="auto", points=9)
                seen.append((float(loss.detach()), line))
        optimizer.step()
    assert len(seen) == 25
    within = [2 <= edges(line) <= 100 for _, line in seen]
    for (level, line), is_within in zip(seen, within, strict=True):
        # Hardly trained, no direction of the length of θ may double the loss: then it goes as far, and says so.
        assert is_within or (level > 0.5 and line.t[-1] * line.step_norm == pytest.approx(line.param_norm, rel=1e-5))
        assert is_within != ("it reaches ‖θ‖" in line.radius_words)
    assert sum(within) >= 22
    assert np.mean([line.num_evaluations - 9 for _, line in seen]) < 6
