"""Sharpness: closed forms on quadratics, small-radius limits, and what rescaling may and may not change."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from landscape.errors import UsageError
from landscape.geometry import sharpness
from landscape.objective import Objective
from tests.support.landscapes import DOUBLE, LeastSquares, draw, of_point, two_layers

BALLS = ("worst", "average", "adaptive_worst", "adaptive_average")


@pytest.mark.parametrize("rho", [1e-3, 0.05, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_the_worst_case_at_the_minimum_of_a_quadratic_is_half_rho_squared_lambda_max(rho, seed):
    problem = LeastSquares()
    result = sharpness(problem.objective, measure="worst", rho=rho, theta=problem.minimum, seed=seed)
    truth = rho**2 / 2 * problem.top()
    assert truth * (1 - 1e-6) <= result.value <= truth * (1 + 1e-10)
    assert result.converged


@pytest.mark.parametrize("seed", range(3))
def test_the_adaptive_worst_case_is_half_rho_squared_lambda_max_scaled_by_theta_on_both_sides(seed):
    problem = LeastSquares()
    result = sharpness(problem.objective, measure="adaptive_worst", theta=problem.minimum, seed=seed)
    truth = 0.5**2 / 2 * problem.top(np.abs(problem.minimum.numpy()))
    assert truth * (1 - 1e-6) <= result.value <= truth * (1 + 1e-10)
    assert result.rho == 0.5


def test_with_a_dense_spectrum_the_default_cost_reaches_the_top_within_two_percent():
    """40 parameters, eigenvalues crowded at the top (λ₂ > 0.9 λ₁): power steps alone would stay far below."""
    rows = torch.linalg.qr(draw(60, 40, seed=3))[0] * torch.linspace(0.2, 1.0, 40, dtype=DOUBLE).sqrt()
    x = rows @ torch.linalg.qr(draw(40, 40, seed=5))[0] * 60**0.5
    with torch.random.fork_rng():
        model = nn.Linear(40, 1, bias=False)
    objective = Objective(model, nn.functional.mse_loss, (x, torch.zeros(60, 1)), dtype=DOUBLE)
    for seed in range(5):
        result = sharpness(objective, measure="worst", rho=1.0, theta=torch.zeros(40), seed=seed)
        assert 0.98 <= result.value / 1.0 <= 1 + 1e-10  # ρ²/2·λ_max = ½·2


def test_away_from_the_minimum_the_worst_case_solves_the_trust_region_problem():
    """max gᵀδ + ½δᵀHδ on the sphere: δ = (μI − H)⁻¹g with μ > λ_max and ‖δ‖ = ρ."""
    problem = LeastSquares()
    theta = problem.minimum + 0.3 * draw(6, seed=7)
    g, rho = problem.hessian @ (0.3 * draw(6, seed=7).numpy()), 0.5
    low, high = problem.top() + 1e-12, problem.top() + np.linalg.norm(g) / rho
    for _ in range(200):
        mu = (low + high) / 2
        delta = np.linalg.solve(mu * np.eye(6) - problem.hessian, g)
        low, high = (mu, high) if np.linalg.norm(delta) > rho else (low, mu)
    truth = g @ delta + delta @ problem.hessian @ delta / 2
    result = sharpness(problem.objective, measure="worst", rho=rho, theta=theta)
    assert truth * (1 - 1e-3) <= result.value <= truth * (1 + 1e-10)


@pytest.mark.parametrize("measure", ["worst", "adaptive_worst"])
def test_in_the_cube_the_worst_case_of_a_diagonal_quadratic_is_any_corner(measure):
    """p = ∞: every |δ_i| = ρc_i, so ρ²/2·Σ H_ii c_i²."""
    problem = LeastSquares(diagonal=True)
    c = problem.minimum.abs().numpy() if measure == "adaptive_worst" else np.ones(6)
    result = sharpness(problem.objective, measure=measure, rho=0.3, p=math.inf, theta=problem.minimum)
    assert result.value == pytest.approx(0.3**2 / 2 * float(problem.hessian.diagonal() @ c**2), rel=1e-10)
    assert result.p == math.inf


def test_in_the_cube_the_worst_case_of_a_full_quadratic_is_its_best_corner():
    problem = LeastSquares()
    corners = 0.3 * (2.0 * ((np.arange(64)[:, None] >> np.arange(6)) & 1) - 1)
    truth = max(float(z @ problem.hessian @ z) / 2 for z in corners)
    result = sharpness(problem.objective, measure="worst", rho=0.3, p=math.inf, theta=problem.minimum, restarts=12)
    assert result.value == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize(("measure", "adaptive"), [("average", False), ("adaptive_average", True)])
def test_averages_of_a_quadratic_are_half_rho_squared_trace_within_their_error(measure, adaptive):
    """Exact for any ρ, also away from the minimum, where the gradient's part cancels between δ and −δ."""
    problem = LeastSquares()
    theta = problem.minimum + 1.0
    c = theta.numpy() if adaptive else np.ones(6)
    truth = 0.1**2 / 2 * float(problem.hessian.diagonal() @ c**2)
    result = sharpness(problem.objective, measure=measure, rho=0.1, theta=theta, num_probes=400)
    assert abs(result.value - truth) <= 4 * result.error
    scaled = c[:, None] * problem.hessian * c
    assert result.error == pytest.approx(0.1**2 / 2 * np.sqrt(2 * (scaled**2).sum() / 400), rel=0.25)


def test_both_signs_of_a_draw_are_used():
    """On a linear loss every pair is exactly zero; single draws would scatter by ρ‖g‖."""
    result = sharpness(of_point(lambda w: w.sum(), [1.0, 2.0]), measure="average", rho=0.5)
    np.testing.assert_allclose(result.samples, 0, atol=1e-15)


def test_the_interval_of_an_average_covers_as_often_as_it_says():
    """200 seeds at 95 % with 16 pairs, a spectrum of six; limits from the binomial law with the t-interval's slack."""
    problem = LeastSquares()
    truth = 0.1**2 / 2 * float(np.trace(problem.hessian))
    half = stats.t.ppf(0.975, 15)
    covered = 0
    for seed in range(200):
        result = sharpness(problem.objective, measure="average", rho=0.1, theta=problem.minimum, seed=seed)
        covered += abs(result.value - truth) <= half * result.error
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.95)
    # Quadratic forms are skewed, so that t falls short of 95 % by two or three points at 16 pairs.
    assert low - 0.03 * 200 <= covered <= high


@pytest.mark.parametrize("measure", BALLS)
def test_small_balls_of_a_network_give_the_limits_of_the_formulas(measure):
    """A tanh network at an exact minimum: labels are its own outputs, so g = 0."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()
    x = draw(9, 3, seed=6)
    objective = Objective(model, nn.functional.mse_loss, (x, model(x).detach()))
    P, rho = objective.layout.size, 1e-4
    H = torch.stack([objective.hvp(e) for e in torch.eye(P, dtype=DOUBLE)]).numpy()
    c = objective.theta.abs().numpy() if "adaptive" in measure else np.ones(P)
    scaled = c[:, None] * H * c
    result = sharpness(objective, measure=measure, rho=rho, num_probes=200 if "average" in measure else None)
    if "average" in measure:
        assert abs(result.value - rho**2 / 2 * np.trace(scaled)) <= 4 * result.error
    else:
        assert result.value == pytest.approx(rho**2 / 2 * np.linalg.eigvalsh(scaled)[-1], rel=1e-3)


def test_rescaling_a_relu_network_changes_the_plain_measures_and_not_the_adaptive_ones():
    """Dinh et al. 2017: layers times a and 1/a are the same function."""
    before, after = two_layers(1.0), two_layers(20.0)
    assert after.loss() == pytest.approx(before.loss(), rel=1e-12)
    for measure in ("adaptive_worst", "adaptive_average"):
        one, two = (sharpness(objective, measure=measure) for objective in (before, after))
        assert two.value == pytest.approx(one.value, rel=1e-8)
        np.testing.assert_allclose(two.samples, one.samples, rtol=1e-6)
    for measure, rho in (("lambda_max", None), ("trace", None), ("worst", 0.001), ("average", 0.001)):
        one, two = (sharpness(objective, measure=measure, rho=rho) for objective in (before, after))
        assert two.value > 5 * one.value


def test_lambda_max_and_trace_carry_the_errors_of_their_estimators():
    problem = LeastSquares()
    top = sharpness(problem.objective)
    assert (top.measure, top.kind) == ("lambda_max", "estimate")
    assert abs(top.value - problem.top()) <= top.error <= 1e-2 * top.value
    total = sharpness(problem.objective, measure="trace", num_probes=64)
    assert abs(total.value - np.trace(problem.hessian)) <= 4 * total.error + 1e-12 * abs(total.value)
    assert math.isnan(top.rho)
    assert math.isnan(total.rho)


@pytest.mark.parametrize("measure", ["adaptive_worst", "adaptive_average"])
@pytest.mark.parametrize("p", [2, math.inf])
def test_where_theta_is_zero_nothing_moves_and_nothing_is_divided_by_zero(measure, p):
    """L would be NaN at any w₁ ≠ 0, so that a step there could not hide."""
    if measure == "adaptive_average" and p != 2:
        pytest.skip("an average has no ball")
    objective = of_point(lambda w: w[0] ** 2 + torch.sqrt(-(w[1] ** 2) + 1e-300), [1.0, 0.0])
    result = sharpness(objective, measure=measure, rho=0.1, p=p)
    assert math.isfinite(result.value)
    if measure == "adaptive_worst":
        assert result.value == pytest.approx(1.1**2 - 1)


@pytest.mark.parametrize("measure", BALLS)
def test_theta_zero_everywhere_leaves_the_adaptive_measures_zero(measure):
    result = sharpness(LeastSquares().objective, measure=measure, theta=torch.zeros(6))
    assert (result.value == 0) == ("adaptive" in measure)


@pytest.mark.parametrize("measure", BALLS)
def test_nan_in_the_ball_makes_the_value_nan_and_is_not_called_converged(measure):
    objective = of_point(lambda w: torch.log(w[0]) + w[1] ** 2, [0.01, 1.0])
    result = sharpness(objective, measure=measure, rho=3.0, strict=False)
    assert math.isnan(result.value)
    assert not result.converged


@pytest.mark.parametrize("measure", BALLS)
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_float32_and_float64_agree(measure, dtype):
    found = sharpness(two_layers(dtype=dtype), measure=measure)
    exact = sharpness(two_layers(), measure=measure)
    assert found.value == pytest.approx(exact.value, rel=1e-3)


@pytest.mark.parametrize("measure", BALLS)
def test_the_same_seed_gives_the_same_number_and_another_seed_other_samples(measure):
    objective = two_layers()
    one, two, other = (sharpness(objective, measure=measure, seed=s) for s in (3, 3, 4))
    assert np.array_equal(one.samples, two.samples)
    assert not np.array_equal(one.samples, other.samples)
    assert one.seed == 3


@pytest.mark.parametrize("measure", BALLS)
def test_evaluations_are_counted_and_reported_as_documented(measure, monkeypatch):
    objective, seen, calls = two_layers(), [], []
    name = "loss" if "average" in measure else "loss_and_gradient"
    original = getattr(Objective, name)
    monkeypatch.setattr(Objective, name, lambda self, *a: (calls.append(1), original(self, *a))[1])
    result = sharpness(objective, measure=measure, progress=lambda *args: seen.append(args))
    most = 33 if "average" in measure else 94
    assert result.num_evaluations == len(calls) == len({done for done, _ in seen}) <= most
    assert seen[: len(calls)] == [(i, most) for i in range(1, len(calls) + 1)]
    assert seen[-1] == (len(calls), len(calls))


@pytest.mark.parametrize(
    ("measure", "rho", "reference"),
    [
        ("worst", 0.05, "Foret et al. 2021, eq. 1"),
        ("adaptive_worst", 0.5, "Kwon et al. 2021"),
        ("average", 0.05, "Andriushchenko et al. 2023"),
        ("adaptive_average", 0.1, "Andriushchenko et al. 2023"),
    ],
)
def test_the_published_radius_and_its_source_are_in_the_result(measure, rho, reference):
    result = sharpness(two_layers(), measure=measure)
    assert result.rho == rho
    assert reference in result.reference


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"measure": "max"}, "measure='max' is not one of"),
        ({"measure": "worst", "rho": 0.0}, "rho=0.0 must be a positive number"),
        ({"measure": "worst", "rho": float("inf")}, "must be a positive number"),
        ({"measure": "worst", "p": 1}, "p=1 is not one of"),
        ({"measure": "worst", "restarts": 0}, "restarts=0 must be a whole number"),
        ({"measure": "worst", "num_probes": 5}, "does not use num_probes=5; it has restarts and steps"),
        ({"measure": "average", "steps": 5}, "does not use steps=5; it has num_probes"),
        ({"measure": "average", "p": math.inf}, "has no ball of norm"),
        ({"measure": "average", "num_probes": 0}, "num_probes=0 must be a whole number"),
        ({"measure": "lambda_max", "rho": 0.1}, "has no radius; leave rho=0.1 out"),
        ({"measure": "lambda_max", "restarts": 2}, "none of these options"),
        ({"measure": "trace", "rho": 0.1}, "has no radius"),
        ({"seed": None}, "seed=None must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"measure": "worst", "theta": np.ones(3)}, r"θ has shape \(6,\)"),
    ],
)
def test_what_a_measure_does_not_have_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        sharpness(LeastSquares().objective, **options)


def test_sharpness_leaves_model_gradients_mode_and_random_numbers_as_they_were():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    model[0].weight.grad = torch.ones_like(model[0].weight)
    objective = Objective(model, nn.functional.cross_entropy, (draw(8, 3).float(), torch.arange(8) % 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    for measure in ("lambda_max", "trace", *BALLS):
        sharpness(objective, measure=measure)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert model[3].weight.grad is None
    assert all(m.training for m in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)
