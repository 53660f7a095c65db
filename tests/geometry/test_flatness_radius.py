"""The flatness radius: closed forms of quadratics, a brute mean over many displacements, and losses without one."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from torch.func import functional_call, vmap

import landscape as ls
from landscape.errors import NotConverged, UsageError
from tests.support.landscapes import DOUBLE, LeastSquares, built, draw, of_point
from tests.support.roundtrip import written_and_read

KINDS = ("flatness_radius", "flatness_radius_magnitude")


def sizes(problem: LeastSquares, kind: str) -> np.ndarray:
    return problem.minimum.abs().numpy() if kind.endswith("magnitude") else np.ones(6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("margin", [1e-3, 0.1, 30.0])
def test_of_a_quadratic_it_is_the_root_of_twice_the_margin_over_the_trace(kind, margin):
    problem = LeastSquares()
    truth = math.sqrt(2 * margin / float(problem.hessian.diagonal() @ sizes(problem, kind) ** 2))
    found = ls.sharpness(problem.objective, measure=kind, margin=margin, theta=problem.minimum, num_probes=40)
    assert abs(found.value - truth) <= 4 * found.error
    assert found.error < 0.1 * truth
    assert f"margin {margin:g}" in found.reference


@pytest.mark.parametrize(("kind", "average"), list(zip(KINDS, ("average", "adaptive_average"), strict=True)))
@pytest.mark.parametrize(("dtype", "rel"), [(DOUBLE, 2e-4), (torch.float32, 2e-4)])
def test_on_the_same_draws_it_goes_with_the_average_of_the_same_seed(kind, average, dtype, rel):
    """On a quadratic the mean rise of given displacements is σ²: what it is at ρ says where it is the margin."""
    problem = LeastSquares(dtype=dtype)
    mean = ls.sharpness(problem.objective, measure=average, theta=problem.minimum, num_probes=8, seed=3)
    found = ls.sharpness(problem.objective, measure=kind, theta=problem.minimum, num_probes=8, seed=3)
    assert found.value == pytest.approx(mean.rho * math.sqrt(0.1 / mean.value), rel=rel)
    assert found.error / found.value == pytest.approx(mean.error / mean.value / 2, rel=0.05)


def test_the_published_addition_to_each_deviation_takes_its_part_of_the_margin():
    """σ²/2·Σ H_ii θ_i² + ε²/2·tr H = margin."""
    problem, epsilon = LeastSquares(), 0.05
    weighed = float(problem.hessian.diagonal() @ problem.minimum.square().numpy())
    truth = math.sqrt((2 * 0.1 - epsilon**2 * np.trace(problem.hessian)) / weighed)
    how = {"theta": problem.minimum, "num_probes": 60}
    found = ls.sharpness(problem.objective, measure="flatness_radius_magnitude", epsilon=epsilon, **how)
    assert abs(found.value - truth) <= 4 * found.error
    assert "ε 0.05" in found.reference


@pytest.mark.slow
def test_its_interval_covers_as_often_as_it_says():
    """120 seeds of 8 passes; quadratic forms are skewed, and t falls short by a few points."""
    problem = LeastSquares()
    truth = math.sqrt(0.2 / np.trace(problem.hessian))
    covered = 0
    for seed in range(120):
        found = ls.sharpness(problem.objective, measure="flatness_radius", theta=problem.minimum, seed=seed)
        low, high = found.interval()
        covered += low <= truth <= high
    low, high = stats.binom.ppf([0.001, 0.999], 120, 0.95)
    assert low - 0.04 * 120 <= covered <= high


def many(count: int) -> tuple[ls.Objective, torch.Tensor, float]:
    """Linear regression on so many examples, its minimum, and its radius there."""
    x = draw(count, 6, seed=3) * torch.linspace(0.5, 2.0, 6, dtype=DOUBLE)
    minimum = draw(6, seed=4)
    model = built(lambda: nn.Linear(6, 1, bias=False)).double()
    objective = ls.Objective(model, nn.functional.mse_loss, (x, (x @ minimum)[:, None]))
    return objective, minimum, math.sqrt(0.2 / float(2 * x.square().mean(0).sum()))


def test_to_an_asked_accuracy_its_work_does_not_grow_with_the_data():
    work = []
    for count in (4_000, 40_000):
        objective, minimum, truth = many(count)
        found = ls.sharpness(objective, measure="flatness_radius", theta=minimum, tol=0.05)
        low, high = found.interval()
        assert found.converged
        assert max(found.value - low, high - found.value) <= 0.0501 * found.value
        assert abs(found.value - truth) <= 4 * found.error
        work.append(found.cost * count)
    assert work[1] <= 1.3 * work[0]


@pytest.mark.slow
def test_the_interval_to_an_asked_accuracy_covers():
    """200 seeds: displacements and examples are drawn anew for each."""
    objective, minimum, truth = many(4_000)
    how = {"measure": "flatness_radius", "theta": minimum, "tol": 0.1}
    intervals = [ls.sharpness(objective, seed=seed, **how).interval() for seed in range(200)]
    covered = sum(low <= truth <= high for low, high in intervals)
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.95)
    assert low - 0.03 * 200 <= covered <= high


def test_a_radius_that_is_not_certain_enough_in_time_is_marked():
    objective, minimum, _ = many(400)
    with pytest.raises(NotConverged, match="raise max_losses") as raised:
        ls.sharpness(objective, measure="flatness_radius", theta=minimum, tol=1e-3, max_losses=100)
    partial = raised.value.partial
    assert partial.error > 5e-4 * partial.value
    assert partial.cost <= 100


@pytest.fixture(scope="module")
def classifier() -> tuple[nn.Module, ls.Objective]:
    """A tanh network on three blobs, trained to a loss of about 0.1."""
    x = torch.cat([draw(60, 2, seed=s) / 2 + 2 * draw(1, 2, seed=10 + s) for s in range(3)])
    y = torch.arange(180) // 60
    model = built(lambda: nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model, ls.Objective(model, nn.functional.cross_entropy, (x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_at_it_the_loss_rises_by_the_margin_by_brute_force(classifier, kind):
    """4,000 displacements of all data at once, in plain torch."""
    model, objective = classifier
    found = ls.sharpness(objective, measure=kind, num_probes=30)
    names = [name for name, _ in model.named_parameters()]
    generator = torch.Generator().manual_seed(5)
    (x, y) = objective.batches.joined

    def shifted(sign):
        noise = {n: torch.randn(4000, *p.shape, generator=generator, dtype=DOUBLE) for n, p in named.items()}
        scale = {n: p.abs() if kind.endswith("magnitude") else torch.ones_like(p) for n, p in named.items()}
        return {n: named[n] + sign * found.value * scale[n] * noise[n] for n in names}

    named = {name: p.detach() for name, p in model.named_parameters()}
    losses = vmap(lambda p: nn.functional.cross_entropy(functional_call(model, p, (x,)), y))(shifted(1.0))
    rise, sem = float(losses.mean()) - objective.loss(), float(losses.std() / 4000**0.5)
    slope = 2 * 0.1 / found.value
    assert abs(rise - 0.1) <= 4 * math.hypot(sem, found.error * slope)
    assert sem < 0.02


def test_of_the_share_of_wrong_predictions_it_is_the_published_one(classifier):
    """A loss without any slope: only its values are asked for."""
    model, objective = classifier
    wrong = ls.Objective(model, lambda f, y: (f.argmax(1) != y).double().mean(), objective.batches.joined, check=False)
    found = ls.sharpness(wrong, measure="flatness_radius", num_probes=10)
    assert 0.05 < found.value < 2
    average = ls.sharpness(wrong, measure="average", rho=found.value, num_probes=30, seed=7)
    assert abs(average.value - 0.1) <= 4 * math.hypot(average.error, found.error * 0.2 / found.value)


def test_a_wall_ends_it():
    """L is infinite from |w| = 1 on: the largest σ of which no draw has touched it, whatever the margin."""
    objective = of_point(lambda w: torch.where(w.abs().max() < 1, 0.0 * w.sum(), torch.inf), [0.0, 0.0])
    found = ls.sharpness(objective, measure="flatness_radius", num_probes=10)
    assert 0.3 < found.value < 1
    assert found.converged


@pytest.mark.parametrize("function", [lambda w: 0 * w.sum(), lambda w: -(w @ w), lambda w: torch.tanh(w @ w) / 20])
def test_a_loss_that_never_rises_so_far_has_no_radius(function):
    objective = of_point(function, [0.0, 0.0])
    with pytest.raises(NotConverged, match="never rises by the margin") as raised:
        ls.sharpness(objective, measure="flatness_radius")
    assert raised.value.partial.value == math.inf
    found = ls.sharpness(objective, measure="flatness_radius", strict=False)
    assert (found.value, found.error, found.converged) == (math.inf, None, False)


def test_an_addition_that_is_more_than_the_margin_leaves_no_radius():
    problem = LeastSquares()
    with pytest.raises(NotConverged, match="however small σ is"):
        ls.sharpness(problem.objective, measure="flatness_radius_magnitude", epsilon=10.0, theta=problem.minimum)


def test_losses_are_counted_and_reported(monkeypatch):
    problem, seen, calls = LeastSquares(), [], []
    original = ls.Objective.loss
    monkeypatch.setattr(ls.Objective, "loss", lambda self, *a: (calls.append(1), original(self, *a))[1])
    objective = problem.objective.rechunked(13)
    found = ls.sharpness(objective, measure="flatness_radius", progress=lambda *args: seen.append(args))
    assert found.num_evaluations == len(calls) <= 130
    assert seen[-1][0] == seen[-1][1]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_it_goes_to_a_file_and_back(tmp_path):
    problem = LeastSquares()
    found = ls.sharpness(problem.objective, measure="flatness_radius", theta=problem.minimum)
    again = written_and_read(found, tmp_path)
    assert (again.value, again.error, again.method) == (found.value, found.error, found.method)


def test_what_a_radius_does_not_have_is_refused():
    objective = LeastSquares().objective
    for options, said in (
        ({"margin": 0.0}, "margin=0.0 must be a positive number"),
        ({"epsilon": 0.1}, r"does not use epsilon=0\.1; it has num_probes and margin"),
        ({"rho": 0.1}, "has no radius; leave rho=0.1 out"),
        ({"max_losses": 50.0}, "max_losses= limits tol="),
        ({"m": 3}, "does not use m=3"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.sharpness(objective, measure="flatness_radius", **options)
