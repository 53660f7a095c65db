"""Curvature at the centre of a slice by two routes, and an error that covers their difference, over kinks too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.geometry import evaluate_line, random_direction, random_plane
from landscape.geometry.slice_curvature import centre_curvature
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, Well, built, draw, network, one_dimensional


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
    """The curvature that is right: double backward of the same 64 examples in float64, by plain autograd."""
    objective = kinked(kind)
    few = objective.on_first(64).with_dtype(DOUBLE)
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


def test_nan_at_the_centre_leaves_the_curvatures_nan_and_the_rest_measured():
    line = evaluate_line(one_dimensional(lambda w: torch.sqrt(w.abs() - 0.1)), np.ones(1), points=5)
    assert np.isnan(line.loss[2])
    np.testing.assert_allclose(line.loss[[0, 1, 3, 4]], np.sqrt([0.9, 0.4, 0.4, 0.9]))
    assert np.isnan([line.curvature, line.curvature_slice, line.curvature_error]).all()


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


def test_beyond_64_examples_the_curvature_is_of_all_of_them_and_the_check_still_sees_a_difference(monkeypatch):
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
    for given in (ls.exact(ls.HessianOperator(objective)), ls.HessianOperator(objective)):  # in float64, in float32
        other = evaluate_line(objective, d, points=3, hessian=given)
        assert other.curvature == pytest.approx(exact, rel=1e-5)
        assert other.curvature_agrees
    right = ls.Objective.hvp
    monkeypatch.setattr(ls.Objective, "hvp", lambda self, *a: 1.1 * right(self, *a))
    assert not evaluate_line(objective, d, points=3).curvature_agrees
