"""Lines and planes through the loss: exact where it is a polynomial, rows are y and columns x, and NaN stays NaN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.geometry import evaluate_line, evaluate_plane, interpolate, random_direction, random_plane
from landscape.geometry.slice_curvature import centre_curvature
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, Quadratic, built, draw, one_dimensional


@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 1e-5), (DOUBLE, 1e-13)])
def test_the_slice_of_a_quadratic_is_the_parabola_of_the_whole_data(dtype, rtol):
    """Uneven batches: a mean of batch means would be another parabola."""
    problem = Quadratic(dtype)
    d, w = draw(4, seed=3).numpy(), problem.objective.theta.double().numpy()
    line = evaluate_line(problem.objective, d, radius=2.0, points=9)
    np.testing.assert_allclose(line.t, np.linspace(-2, 2, 9), atol=1e-15)
    np.testing.assert_allclose(line.loss, [problem.loss(w + t * d) for t in line.t], rtol=rtol)
    assert line.step_norm == pytest.approx(np.linalg.norm(d), rel=1e-6)
    assert line.curvature == pytest.approx(d @ problem.hessian @ d, rel=1e-6)
    assert line.curvature_slice == pytest.approx(line.curvature, rel=1e-4)
    assert line.curvature_agrees


def test_a_line_evaluates_its_own_start_exactly_and_once(monkeypatch):
    objective = Quadratic().objective
    theta = draw(4, seed=5)
    seen: list[torch.Tensor] = []
    original = Objective.loss

    def watched(self, theta=None):
        seen.append(self.point(theta))
        return original(self, theta)

    monkeypatch.setattr("landscape.geometry.walk.centre_curvature", lambda *a: [np.zeros((1, 1))] * 3)
    monkeypatch.setattr(Objective, "loss", watched)
    line = evaluate_line(objective, draw(4, seed=3), points=11, radius=0.3, theta=theta)
    assert len(seen) == 11
    assert [torch.equal(point, theta) for point in seen] == [index == 5 for index in range(11)]
    assert line.t[5] == 0
    assert line.loss[5] == objective.loss(theta)
    assert np.array_equal(line.t, -line.t[::-1])


def test_rows_of_a_plane_are_y_and_columns_are_x():
    """Radii differ, and so do the directions: a transposed or mirrored plane fails."""
    problem = Quadratic()
    plane, w = draw(4, 2, seed=4), problem.objective.theta.numpy()
    surface = evaluate_plane(problem.objective, plane, radius=(1.0, 0.25), points=5)
    d = plane.numpy()
    expected = [[problem.loss(w + x * d[:, 0] + y * d[:, 1]) for x in surface.x] for y in surface.y]
    assert surface.x[-1] == 1.0
    assert surface.y[-1] == 0.25
    np.testing.assert_allclose(surface.loss, expected, rtol=1e-13)
    assert surface.loss[2, 2] == problem.objective.loss()
    np.testing.assert_allclose(surface.curvature, d.T @ problem.hessian @ d, rtol=1e-12)
    assert surface.curvature_agrees
    np.testing.assert_allclose(surface.curvature_slice, surface.curvature, rtol=1e-3)


@pytest.mark.parametrize("angle", [0.01, 0.5 * np.pi, np.pi - 0.01])
def test_mixed_curvature_holds_for_any_angle_and_length_of_the_directions(angle):
    problem = Quadratic()
    q = np.linalg.qr(draw(4, 2, seed=6).numpy())[0]
    plane = np.stack([1e3 * q[:, 0], 1e-2 * (np.cos(angle) * q[:, 0] + np.sin(angle) * q[:, 1])], axis=1)
    theta = problem.objective.point(None)
    by_hvp, by_differences, error = centre_curvature(problem.objective, theta, torch.tensor(plane))
    np.testing.assert_allclose(by_hvp, plane.T @ problem.hessian @ plane, rtol=1e-10)
    assert (np.abs(by_differences - by_hvp) <= error).all()
    size = np.sqrt(np.outer(by_hvp.diagonal(), by_hvp.diagonal()))
    assert (error <= 2e-4 * size).all()


def test_nan_stays_nan_and_nothing_stops_there():
    objective = one_dimensional(lambda w: torch.log(w), start=0.5)
    line = evaluate_line(objective, np.ones(1), points=5)  # log of −0.5, 0, 0.5, 1, 1.5
    assert np.isnan(line.loss[0])
    assert line.loss[1] == -np.inf
    np.testing.assert_allclose(line.loss[2:], np.log([0.5, 1.0, 1.5]))
    assert line.curvature == pytest.approx(-4.0)
    assert line.curvature_agrees


def test_nan_in_a_plane_stays_where_it_is():
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2, dtype=DOUBLE))

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return torch.log(self.w[0] + 0.5) + self.w[1] ** 2

    objective = Objective.from_loss(Pair(), lambda m, b: m(b), torch.ones(1), check=False)
    surface = evaluate_plane(objective, np.eye(2), points=3)
    assert np.isnan(surface.loss).tolist() == [[True, False, False]] * 3


def test_filter_normalised_slices_are_unchanged_by_rescaling_a_relu_network():
    """(w₁, w₂) → (a·w₁, w₂/a) is the same function (Dinh et al. 2017); raw directions tell the two apart."""
    curves = {"filter": [], None: []}
    for a in (1.0, 8.0):
        build = lambda: nn.Sequential(nn.Linear(5, 6, bias=False), nn.ReLU(), nn.Linear(6, 3, bias=False))  # noqa: E731
        model = built(build).double()
        with torch.no_grad():
            model[0].weight *= a
            model[2].weight /= a
        objective = Objective(model, nn.functional.cross_entropy, (draw(20, 5), torch.arange(20) % 3))
        for normalize, found in curves.items():
            d = random_direction(objective, normalize=normalize, seed=2)
            found.append(evaluate_line(objective, d, points=7).loss)
    np.testing.assert_allclose(*curves["filter"], rtol=1e-12)
    assert np.abs(curves[None][0] - curves[None][1]).max() > 0.1


@pytest.mark.parametrize("kind", ["tensor", "array", "column", "float32", "reversed", "read-only"])
def test_directions_are_accepted_in_every_form_that_eigenvectors_come_in(kind):
    objective = Quadratic().objective
    d = draw(4, seed=3).numpy()
    given = {
        "tensor": torch.tensor(d),
        "array": d,
        "column": d[:, None],
        "float32": d.astype(np.float32),
        "reversed": d[::-1].copy()[::-1],
        "read-only": np.broadcast_to(d, (4,)),
    }[kind]
    expected = evaluate_line(objective, torch.tensor(d), points=3)
    np.testing.assert_allclose(evaluate_line(objective, given, points=3).loss, expected.loss, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"points": 10}, "points=10 is even.*use 11"),
        ({"points": 1}, "whole number of at least 3: an odd one"),
        ({"points": 4.5}, "whole number of at least 3: an odd one"),
        ({"radius": 0.0}, "radius=0.0 must be a positive number"),
        ({"radius": -1.0}, "must be a positive number"),
        ({"radius": float("nan")}, "must be a positive number"),
        ({"direction": np.zeros(4)}, "a column that is zero"),
        ({"direction": np.ones(3)}, r"shape \(3,\); this objective needs \(4,\)"),
        ({"direction": np.ones((4, 2))}, r"shape \(4, 2\); this objective needs \(4,\)"),
        ({"direction": np.array([1, np.nan, 0, 0])}, "NaN or infinity in 1 entries"),
        ({"direction": [1.0, 0, 0, 0]}, "tensor or array"),
        ({"theta": np.ones(3)}, r"θ has shape \(4,\)"),
    ],
)
def test_a_line_that_cannot_be_walked_is_refused(options, said):
    arguments = {"direction": np.ones(4), **options}
    with pytest.raises(UsageError, match=said):
        evaluate_line(Quadratic().objective, arguments.pop("direction"), **arguments)


@pytest.mark.parametrize(
    ("plane", "options", "said"),
    [
        (np.ones((4, 2)), {}, "parallel"),
        (np.ones(4), {}, r"needs \(4, 2\)"),
        (np.eye(4)[:, :2], {"radius": (1.0, 0.0)}, "must be a positive number"),
        (np.eye(4)[:, :2], {"radius": (1.0, 1.0, 1.0)}, "must be pairs"),
        (np.eye(4)[:, :2], {"labels": ("one",)}, "must be pairs"),
        (np.eye(4)[:, :2], {"points": 6}, "use 7"),
    ],
)
def test_a_plane_that_cannot_be_walked_is_refused(plane, options, said):
    with pytest.raises(UsageError, match=said):
        evaluate_plane(Quadratic().objective, plane, **options)


def test_progress_counts_every_point():
    objective, seen = Quadratic().objective, []
    evaluate_line(objective, np.ones(4), points=5, progress=lambda *args: seen.append(args))
    assert seen == [(i, 5) for i in range(1, 6)]
    seen.clear()
    evaluate_plane(objective, np.eye(4)[:, :2], points=3, progress=lambda *args: seen.append(args))
    assert seen == [(i, 9) for i in range(1, 10)]
    seen.clear()
    interpolate(objective, np.zeros(4), np.ones(4), points=4, progress=lambda *args: seen.append(args))
    assert seen == [(i, 4) for i in range(1, 5)]


def test_slices_leave_model_gradients_mode_and_random_numbers_as_they_were():
    model = built(lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))).train()
    model[1].eval()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    objective = Objective(model, nn.functional.cross_entropy, (draw(8, 3).float(), torch.arange(8) % 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    flags, state = [m.training for m in model.modules()], torch.random.get_rng_state()
    plane = random_plane(objective)
    evaluate_line(objective, plane[:, 0], points=3)
    evaluate_plane(objective, plane, points=3)
    evaluate_plane(objective, plane, points=3, batch_statistics="recompute")
    for statistics in ("fixed", "recompute"):
        interpolate(objective, objective.theta, 2 * objective.theta, points=3, batch_statistics=statistics)
    with pytest.raises(UsageError, match=r"running statistics.*1\.running_mean"):
        interpolate(objective, objective.theta, 2 * objective.theta, points=3)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[3].weight.grad is None
    assert [m.training for m in model.modules()] == flags
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
