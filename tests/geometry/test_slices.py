"""Slices: exact where the loss is a polynomial, honest about their own centre, NaN where the loss is NaN."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry import evaluate_line, evaluate_plane, interpolate, random_direction, random_plane
from landscape.geometry.curvature import centre_curvature
from landscape.objective import Objective

DOUBLE = torch.float64


def built(build: Callable[[], nn.Module], seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build()


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


class Quadratic:
    """Least squares on batches of 8 + 2: L(w) = mean (xᵀw − y)², so H = 2XᵀX/N in closed form."""

    def __init__(self, dtype: torch.dtype = DOUBLE) -> None:
        self.x, self.y = draw(10, 4, seed=1), draw(10, 1, seed=2)
        batches = [(self.x[:8], self.y[:8]), (self.x[8:], self.y[8:])]
        model = built(lambda: nn.Linear(4, 1, bias=False))
        self.objective = Objective(model, nn.functional.mse_loss, batches, chunk=None, dtype=dtype)
        self.hessian = (2 / 10 * self.x.T @ self.x).numpy()

    def loss(self, w: np.ndarray) -> float:
        return float(((self.x.numpy() @ w - self.y.numpy()[:, 0]) ** 2).mean())


class Well(nn.Module):
    """One parameter; the loss of a batch is any function of it."""

    def __init__(self, start: float = 0.0, function: Callable[[torch.Tensor], torch.Tensor] = torch.square) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([start], dtype=DOUBLE))
        self.function = function

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.function(self.w[0])


def one_dimensional(function: Callable[[torch.Tensor], torch.Tensor], start: float = 0.0) -> Objective:
    return Objective.from_loss(Well(start, function), lambda m, b: m(b), torch.ones(1), check=False)


def network(activation: type[nn.Module], *, seed: int = 0, dtype: torch.dtype = DOUBLE) -> Objective:
    model = built(lambda: nn.Sequential(nn.Linear(5, 8), activation(), nn.Linear(8, 8), activation(), nn.Linear(8, 3)))
    y = torch.arange(40) % 3
    return Objective(model, nn.functional.cross_entropy, (draw(40, 5, seed=seed), y), dtype=dtype, check=False)


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

    monkeypatch.setattr("landscape.geometry.slices.centre_curvature", lambda *a: [np.zeros((1, 1))] * 3)
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


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("activation", [nn.Tanh, nn.Softplus, nn.GELU])
def test_on_smooth_networks_both_curvatures_agree_to_a_ten_thousandth(activation, dtype):
    objective = network(activation, dtype=dtype)
    for index in range(6):
        d = random_direction(objective, index=index, ignore=None)
        by_hvp, by_differences, error = (
            float(a[0, 0]) for a in centre_curvature(objective, objective.theta, d[:, None])
        )
        scale = float(d.norm()) ** 2 * 1e-3  # a direction may have no curvature of its own
        assert abs(by_hvp - by_differences) <= 1e-4 * max(abs(by_hvp), scale)
        assert abs(by_hvp - by_differences) <= error
        assert error <= 1e-3 * max(abs(by_hvp), scale)


def kinked(kind: str) -> Objective:
    """300 examples in a small network that fits them, so that kinks lie close together and the loss is near zero."""
    x, generator = draw(300, 1, 12, 12, seed=5), torch.Generator().manual_seed(1)
    y = (x.flatten(1) @ torch.randn(144, 4, generator=generator, dtype=DOUBLE)).argmax(1)
    layers: dict[str, Callable[[], list[nn.Module]]] = {
        "relu": lambda: [nn.Flatten(), nn.Linear(144, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 4)],
        "leaky": lambda: [nn.Flatten(), nn.Linear(144, 40), nn.LeakyReLU(0.3), nn.Linear(40, 4)],
        "maxpool": lambda: [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(100, 4)],
        "hardtanh": lambda: [nn.Flatten(), nn.Linear(144, 24), nn.Hardtanh(), nn.Linear(24, 4)],
    }
    model = built(lambda: nn.Sequential(*layers[kind]())).double()
    step = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(60):
        step.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        step.step()
    return Objective(model.float(), nn.functional.cross_entropy, (x.float(), y), check=False)


def bend(objective: Objective, d: torch.Tensor) -> float:
    """dᵀHd by two plain calls of autograd on the model itself."""
    model = objective.module.model.double()
    (x, y), parameters = objective.batches.joined, list(model.parameters())
    loss = nn.functional.cross_entropy(model(x.double()), y)
    gradient = torch.autograd.grad(loss, parameters, create_graph=True)
    slope = d @ torch.cat([g.reshape(-1) for g in gradient])
    return float(d @ torch.cat([g.reshape(-1) for g in torch.autograd.grad(slope, parameters)]))


@pytest.mark.parametrize("kind", ["relu", "leaky", "maxpool", "hardtanh"])
def test_on_networks_full_of_kinks_the_stated_error_covers_the_difference_every_time(kind):
    """The curvature that is right: double backward of the same 256 examples in float64, by plain autograd."""
    objective = kinked(kind)
    few = objective.on_first(256).with_dtype(DOUBLE)
    tight = []
    for index in range(12):
        d = random_direction(few, index=index)
        _, differences, error = (float(a[0, 0]) for a in centre_curvature(few, few.theta, d[:, None]))
        right = bend(few, d)
        assert abs(right - differences) <= error
        tight.append(error <= 1e-4 * abs(right))
    assert sum(tight) >= 11  # and it is not covered by being large


def test_kinks_closer_together_than_any_step_of_the_loss_do_not_bend_the_slice():
    """w² has curvature 2; 400 kinks of one sign within 1e-3 of w = 1 bend the loss by 20 more wherever it is seen."""
    places = 1 + 1e-3 * (2 * torch.rand(400, generator=torch.Generator().manual_seed(2), dtype=DOUBLE) - 1)
    objective = one_dimensional(lambda w: w**2 + 1e-4 * torch.relu(w - places).sum(), start=1.0)
    line = evaluate_line(objective, np.ones(1), points=3)
    assert line.curvature == pytest.approx(2.0)
    assert line.curvature_slice == pytest.approx(2.0, rel=1e-4)
    assert line.curvature_agrees


@pytest.mark.parametrize("start", [0.0, 1.0])
def test_a_gradient_that_is_not_that_of_the_loss_shows_at_the_centre(start):
    """Twice the gradient has twice the curvature, by products and by slopes alike; the loss itself bends by 2."""

    class Doubled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 4 * x

    line = evaluate_line(one_dimensional(lambda w: Doubled.apply(w) + 1, start=start), np.ones(1), points=3)
    assert line.curvature == pytest.approx(4.0)
    assert line.curvature_slice == pytest.approx(2.0, rel=1e-3)
    assert not line.curvature_agrees


@pytest.mark.parametrize("distance", [0.0, 1e-12, 1e-9, 1e-8, 1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 1e-4, 1e-2])
@pytest.mark.parametrize("jump", [1e-7, 1e-4, 1.0])
def test_one_kink_at_any_distance_is_covered_by_the_error(distance, jump):
    objective = one_dimensional(lambda w: w**2 + jump * torch.relu(w - 1 - distance), start=1.0)
    by_hvp, differences, error = (
        float(a[0, 0]) for a in centre_curvature(objective, objective.theta, torch.ones(1, 1, dtype=DOUBLE))
    )
    assert by_hvp == pytest.approx(2.0)
    assert abs(differences - by_hvp) <= error


def test_between_the_kinks_a_shorter_step_finds_the_curvature():
    """The first step, 7e-6, lies beyond the kink at 3e-6, and would see 10⁵ where there is 2."""
    objective = one_dimensional(lambda w: w**2 + torch.relu(w - 1 - 3e-6), start=1.0)
    line = evaluate_line(objective, np.ones(1), points=3)
    assert line.curvature_agrees
    assert line.curvature_error <= 0.1


def test_a_wrong_second_derivative_shows_at_the_centre():
    class HalfCube(torch.autograd.Function):
        """x³ whose gradient is right and whose second derivative is half of what it should be."""

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x * x.detach()

    line = evaluate_line(one_dimensional(HalfCube.apply, start=1.0), np.ones(1), points=3)
    assert line.curvature == pytest.approx(3.0)
    assert line.curvature_slice == pytest.approx(6.0, rel=1e-4)
    assert not line.curvature_agrees


def test_a_model_that_runs_in_float32_alone_is_checked_in_float32():
    x = draw(10, 4, seed=1).float()

    def in_single(w: torch.Tensor) -> torch.Tensor:
        return ((x[:, 0] @ torch.ones(10, 4)[:, 0].reshape(10) * w) ** 2).mean() if w.dtype == torch.float32 else x @ w

    model = Well(1.0, in_single).float()
    objective = Objective.from_loss(model, lambda m, b: m(b), torch.ones(1), check=False)
    with pytest.raises(RuntimeError):
        objective.with_dtype(DOUBLE).loss()
    line = evaluate_line(objective, np.ones(1), points=3, radius=0.1)
    assert line.curvature_slice == pytest.approx(line.curvature, rel=1e-2)
    assert line.curvature_agrees


def test_without_a_second_derivative_the_slice_is_there_and_the_curvature_is_not():
    def distance_from_zero(w: torch.Tensor) -> torch.Tensor:
        return torch.cdist(w.view(1, 1), torch.zeros(1, 1, dtype=w.dtype)).sum() ** 2

    line = evaluate_line(one_dimensional(distance_from_zero, start=1.0), np.ones(1), points=5)
    np.testing.assert_allclose(line.loss, (1 + line.t) ** 2)
    assert np.isnan(line.curvature)
    assert line.curvature_slice == pytest.approx(2.0, rel=1e-4)


def test_nan_stays_nan_and_nothing_stops_there():
    objective = one_dimensional(lambda w: torch.log(w), start=0.5)
    line = evaluate_line(objective, np.ones(1), points=5)  # log of −0.5, 0, 0.5, 1, 1.5
    assert np.isnan(line.loss[0])
    assert line.loss[1] == -np.inf
    np.testing.assert_allclose(line.loss[2:], np.log([0.5, 1.0, 1.5]))
    assert line.curvature == pytest.approx(-4.0)
    assert line.curvature_agrees


def test_nan_at_the_centre_leaves_the_curvatures_nan_and_the_rest_measured():
    line = evaluate_line(one_dimensional(lambda w: torch.sqrt(w.abs() - 0.1)), np.ones(1), points=5)
    assert np.isnan(line.loss[2])
    np.testing.assert_allclose(line.loss[[0, 1, 3, 4]], np.sqrt([0.9, 0.4, 0.4, 0.9]))
    assert np.isnan([line.curvature, line.curvature_slice, line.curvature_error]).all()


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


def test_a_flat_loss_has_zero_curvature_by_both_routes():
    line = evaluate_line(one_dimensional(lambda w: 0 * w + 3.0, start=1.0), np.ones(1), points=3)
    assert line.curvature == 0
    assert line.curvature_agrees
    assert line.curvature_error < 1e-6


@pytest.mark.parametrize("scale", [0.0, 1e-6, 1e6])
def test_the_steps_follow_the_scale_of_theta_and_of_the_direction(scale):
    """L = (w/s)² around w = s, along d = 10⁻³ and 10³: the curvature is d²·2/s², at θ = 0 too."""
    s = scale or 1.0
    objective = one_dimensional(lambda w: (w / s) ** 2 + 1, start=scale)
    for size in (1e-3, 1e3):
        line = evaluate_line(objective, np.array([size]), points=3)
        assert line.curvature == pytest.approx(2 * size**2 / s**2)
        assert line.curvature_slice == pytest.approx(line.curvature, rel=1e-4)
        assert line.curvature_agrees


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


@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU])
def test_the_cost_of_the_check_is_as_documented(activation, monkeypatch):
    objective = network(activation)
    counts = {"loss": 0, "loss_and_gradient": 0, "hvp": 0}
    for name in counts:
        original = getattr(Objective, name)

        def counted(self, *args, _name=name, _original=original):
            counts[_name] += 1
            return _original(self, *args)

        monkeypatch.setattr(Objective, name, counted)
    for count in (1, 2):
        counts.update(dict.fromkeys(counts, 0))
        centre_curvature(objective, objective.theta, random_plane(objective, ignore=None)[:, :count])
        assert counts["hvp"] == count
        assert 5 * count <= counts["loss_and_gradient"] <= 11 * count
        assert counts["loss"] - 1 == 2 * count  # one more asks whether the model runs in float64


def test_the_barrier_of_a_double_well_is_its_hill():
    """L = (w² − 1)² has minima at ±1 and height 1 between them; tilted by 0.1·w, the chord falls with it."""
    for tilt in (0.0, 0.1):
        objective = one_dimensional(lambda w, tilt=tilt: (w**2 - 1) ** 2 + tilt * w)
        line = interpolate(objective, np.array([-1.0]), np.array([1.0]), points=5)
        np.testing.assert_allclose(line.t, [0, 0.25, 0.5, 0.75, 1])
        np.testing.assert_allclose(line.loss, [-tilt, 0.5625 - tilt / 2, 1, 0.5625 + tilt / 2, tilt], atol=1e-15)
        assert line.barrier == pytest.approx(1.0)
        assert line.step_norm == pytest.approx(2.0)
        assert line.kind == "interpolation"


def test_the_ends_of_an_interpolation_are_evaluated_as_given():
    objective = network(nn.Tanh, dtype=torch.float32)
    a, b = draw(objective.layout.size, seed=1).float(), 1e3 * draw(objective.layout.size, seed=2).float()
    line = interpolate(objective, a, b.numpy(), points=7)
    assert line.loss[0] == objective.loss(a)
    assert line.loss[-1] == objective.loss(b)
    middle = interpolate(objective, b, a, points=7).loss[::-1]
    np.testing.assert_allclose(line.loss, middle, rtol=1e-5)


def test_between_a_point_and_itself_there_is_no_barrier():
    objective = Quadratic().objective
    line = interpolate(objective, objective.theta, objective.theta, points=3)
    assert line.barrier == pytest.approx(0, abs=1e-15)
    assert line.step_norm == 0


def test_nan_between_the_ends_makes_the_barrier_nan():
    line = interpolate(one_dimensional(lambda w: torch.log(w.abs() - 0.5)), np.array([-1.0]), np.array([1.0]), points=5)
    assert np.isnan(line.loss).tolist() == [False, False, True, False, False]
    assert np.isnan(line.barrier)


@pytest.mark.parametrize("points", [2, 0, 2.5])
def test_an_interpolation_needs_something_between_its_ends(points):
    with pytest.raises(UsageError, match="at least 3"):
        interpolate(Quadratic().objective, np.zeros(4), np.ones(4), points=points)


def test_an_end_of_another_shape_is_refused():
    with pytest.raises(UsageError, match=r"θ has shape \(4,\)"):
        interpolate(Quadratic().objective, np.zeros(4), np.ones(3))


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


def test_beyond_256_examples_the_curvature_is_of_all_of_them_and_the_check_still_sees_a_difference(monkeypatch):
    """The check runs on the first examples only; their discrepancy is carried over to the whole."""
    generator = torch.Generator().manual_seed(0)
    X, y = torch.randn(700, 5, generator=generator), torch.randn(700, 1, generator=generator)
    with torch.random.fork_rng():
        model = torch.nn.Linear(5, 1, bias=False)
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (X, y))
    d = torch.ones(5)
    line = evaluate_line(objective, d, points=3)
    exact = float(2 / 700 * (X.double() @ d.double()).square().sum())
    assert line.curvature == pytest.approx(exact, rel=1e-5)
    assert line.curvature_slice == pytest.approx(exact, rel=1e-5)
    assert line.curvature_agrees
    right = ls.Objective.hvp
    monkeypatch.setattr(ls.Objective, "hvp", lambda self, *a: 1.1 * right(self, *a))
    assert not evaluate_line(objective, d, points=3).curvature_agrees
