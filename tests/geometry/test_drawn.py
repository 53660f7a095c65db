"""Worst cases walked on drawn examples: held against closed forms and against ascents that see all of the data."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.geometry import sharpness
from landscape.geometry.sharpness import drawn
from landscape.geometry.sharpness.examples import Examples
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, built, draw

N = 900


def least_squares(x: torch.Tensor, **options: object) -> tuple[Objective, np.ndarray]:
    """At its minimum, with its Hessian."""
    model = built(lambda: nn.Linear(x.shape[1], 1, bias=False)).double()
    minimum = model.weight.detach()[0]
    objective = Objective(model, nn.functional.mse_loss, (x, (x @ minimum)[:, None]), dtype=DOUBLE, **options)
    return objective, (2 / len(x) * x.T @ x).numpy()


def classifier(count: int = N, *, seed: int = 0, steps: int = 200) -> Objective:
    """A small network near the end of its training: few examples hold what is left of the loss."""
    x = draw(count, 6, seed=seed)
    y = (x[:, 0] + 0.5 * x[:, 1] ** 2 > 0.3).long() + (x[:, 2] > 1).long()
    model = built(lambda: nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 3))).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return Objective(model, nn.functional.cross_entropy, (x, y), dtype=DOUBLE)


def on_all(objective: Objective, monkeypatch: pytest.MonkeyPatch, **options: object):
    """As where examples cannot be drawn."""
    with monkeypatch.context() as patch:
        patch.setattr(drawn, "_FEWEST", math.inf)
        found = sharpness(objective, strict=False, **options)
    assert math.isnan(found.cost)
    return found


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rho", [1e-3, 1.0])
def test_at_the_minimum_of_a_quadratic_it_is_half_rho_squared_lambda_max(rho, seed):
    objective, hessian = least_squares(draw(N, 6, seed=1) * torch.linspace(0.5, 2.0, 6, dtype=DOUBLE))
    found = sharpness(objective, measure="worst", rho=rho, seed=seed)
    truth = rho**2 / 2 * np.linalg.eigvalsh(hessian)[-1]
    assert truth * (1 - 5e-3) <= found.value <= truth * (1 + 1e-10)
    assert found.cost <= 15
    assert "examples" in found.method


def test_in_the_box_of_a_diagonal_quadratic_it_is_the_value_at_any_corner():
    x = torch.zeros(N, 6, dtype=DOUBLE)
    x[torch.arange(N), torch.arange(N) % 6] = 1 + torch.arange(N, dtype=DOUBLE) / N
    objective, hessian = least_squares(x)
    found = sharpness(objective, measure="worst", p=math.inf, rho=0.3)
    assert found.value == pytest.approx(0.3**2 / 2 * float(hessian.diagonal().sum()), rel=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_where_one_example_in_two_thousand_holds_all_the_curvature_it_is_found(seed):
    """At the minimum no loss has a slope, so that nothing there tells it from the others."""
    x = draw(2000, 5, seed=3) * torch.tensor([0.0, 0.3, 0.3, 0.3, 0.3], dtype=DOUBLE)
    x[1234] = torch.tensor([300.0, 0, 0, 0, 0], dtype=DOUBLE)
    objective, hessian = least_squares(x)
    found = sharpness(objective, measure="worst", rho=0.1, seed=seed)
    assert found.value == pytest.approx(0.1**2 / 2 * float(np.linalg.eigvalsh(hessian)[-1]), rel=1e-3)


@pytest.mark.parametrize(("measure", "normalized"), [("worst", False), ("adaptive_worst", True), ("keskar", False)])
def test_it_is_no_lower_than_ascents_on_all_of_the_data_find_at_a_fraction_of_the_cost(
    measure, normalized, monkeypatch
):
    objective = classifier()
    options = {"measure": measure, "normalize_logits": normalized}
    if measure == "keskar":
        options["rho"] = 0.02
    found, whole = sharpness(objective, strict=False, **options), on_all(objective, monkeypatch, **options)
    assert found.converged >= whole.converged
    assert found.value >= 0.99 * whole.value
    assert found.cost < 0.75 * whole.num_evaluations
    assert found.num_evaluations == math.ceil(found.cost - 1e-6)


@pytest.mark.parametrize("measure", ["worst", "keskar"])
def test_what_is_stated_is_a_rise_over_all_of_the_data_at_a_point_of_the_ball(measure, monkeypatch):
    """Every value of ``samples`` was a loss over all of them, at a point that lies inside."""
    objective, seen = classifier(), []
    for name in ("loss", "loss_and_gradient"):
        original = getattr(Examples, name)

        def watched(self, theta, original=original):
            if self.share == 1:
                seen.append(theta.clone())
            return original(self, theta)

        monkeypatch.setattr(Examples, name, watched)
    found = sharpness(objective, measure=measure, strict=False)
    base, scale = objective.loss(), 100 / (1 + objective.loss()) if measure == "keskar" else 1.0
    rises = np.array([(objective.loss(theta) - base) * scale for theta in seen])
    assert np.abs(found.samples[:, None] - rises).min(1) == pytest.approx(0, abs=1e-9 * found.value)
    away = [theta - objective.theta for theta in seen]
    reach = max(float((d / (objective.theta.abs() + 1)).abs().max() if measure == "keskar" else d.norm()) for d in away)
    assert reach <= found.rho * (1 + 1e-9)


def test_examples_without_weight_are_not_walked_on_and_the_others_count_by_theirs():
    """Half the examples have no weight: their curvature, a hundred times that of the others, is no part of the loss."""
    x = draw(N, 4, seed=5)
    x[::2] *= 10
    weight = torch.zeros(N, 1, dtype=DOUBLE)
    weight[1::2] = 1 + torch.arange(N // 2, dtype=DOUBLE)[:, None] % 3

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        y, w = target[:, :1], target[:, 1:]
        return (w * (output - y) ** 2).sum() / w.sum().clamp_min(1e-300)

    model = built(lambda: nn.Linear(4, 1, bias=False)).double()
    target = torch.cat([x @ model.weight.detach().T, weight], dim=1)
    objective = Objective(
        model, loss, (x, target), dtype=DOUBLE, weight=lambda batch: float(batch[1][:, 1].sum()), chunk=N
    )
    hessian = 2 * (x.T * weight[:, 0]) @ x / weight.sum()
    found = sharpness(objective, measure="worst", rho=0.1)
    assert found.method
    truth = 0.1**2 / 2 * float(torch.linalg.eigvalsh(hessian)[-1])
    assert truth * (1 - 5e-3) <= found.value <= truth * (1 + 1e-10)


def test_over_draws_the_mean_loss_and_gradient_are_those_of_all_data_by_weight():
    """2,000 draws of unequal chances, with weights: within five standard errors."""
    x, y = draw(40, 3, seed=1), draw(40, 1, seed=2)
    weight = (torch.arange(40, dtype=DOUBLE) % 4 + 0.5)[:, None]

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (target[:, 1:] * (output - target[:, :1]) ** 2).sum() / target[:, 1:].sum()

    model = built(lambda: nn.Linear(3, 1)).double()
    objective = Objective(
        model, loss, (x, torch.cat([y, weight], 1)), dtype=DOUBLE, weight=lambda batch: float(batch[1][:, 1].sum())
    )
    sizes = np.linspace(0, 3, 40) ** 2
    found = [
        Examples.drawn(objective, drawn.draw_core(sizes, 12, seed=seed).strata).loss_and_gradient(objective.theta)
        for seed in range(2000)
    ]
    values = np.array([[value, *gradient.tolist()] for value, gradient in found])
    truth = np.array([objective.loss(), *objective.gradient().tolist()])
    assert (np.abs(values.mean(0) - truth) <= 5 * values.std(0) / 2000**0.5).all()


@pytest.mark.parametrize("chunk", [50, 1000])
def test_all_examples_are_the_objective_however_they_are_cut(chunk):
    objective = classifier().rechunked(chunk)
    everything = [(np.arange(0, N, 2), 1.0), (np.arange(1, N, 2), 1.0)]
    for examples in (Examples.all_of(objective), Examples.drawn(objective, everything)):
        value, gradient = examples.loss_and_gradient(objective.theta)
        assert value == pytest.approx(objective.loss(), rel=1e-12)
        assert examples.loss(objective.theta) == pytest.approx(value, rel=1e-12)
        torch.testing.assert_close(gradient, objective.gradient(), rtol=1e-9, atol=1e-14)
        assert examples.sizes.sum() == pytest.approx(N)


def test_the_same_seed_gives_the_same_number_and_another_seed_other_draws():
    objective = classifier()
    one, two, other = (sharpness(objective, measure="worst", seed=seed, strict=False) for seed in (3, 3, 4))
    assert np.array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)


def test_nan_in_the_ball_is_seen_on_drawn_examples_too():
    x = draw(N, 2, seed=1).abs() + 0.5
    model = built(lambda: nn.Linear(2, 1, bias=False)).double()
    with torch.no_grad():
        model.weight.fill_(0.01)
    loss = lambda output, target: (torch.log(output) ** 2).mean()  # noqa: E731
    objective = Objective(model, loss, (x, torch.zeros(N, 1)), dtype=DOUBLE, check=False)
    found = sharpness(objective, measure="worst", rho=1.0, strict=False)
    assert math.isnan(found.value)
    assert not found.converged


@pytest.mark.parametrize("what", ["few", "train", "interacting", "own loss"])
def test_where_examples_cannot_be_drawn_all_of_them_are_walked_on(what):
    x, y = draw(60 if what == "few" else 600, 3, seed=1), draw(600, 1, seed=2)
    model = built(lambda: nn.Linear(3, 1)).double()
    data, mse = (x, y[: len(x)]), nn.functional.mse_loss
    if what == "own loss":
        objective = Objective.from_loss(model, lambda m, b: mse(m(b[0]), b[1]), data, dtype=DOUBLE)
    else:
        mode = "train" if what == "train" else "eval"
        objective = Objective(model, mse, data, dtype=DOUBLE, mode=mode, interacting=what == "interacting")
    found = sharpness(objective, measure="worst", strict=False)
    assert math.isnan(found.cost)
    assert found.method == ""
