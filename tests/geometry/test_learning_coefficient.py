"""The local learning coefficient against its value at finite n, of quadratics and of a degenerate minimum."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import nn

import landscape as ls
from landscape.errors import NotConverged, ObjectiveError, UsageError
from landscape.results.endings import Ending
from tests.support.landscapes import DOUBLE, LeastSquares, Point, built, draw
from tests.support.roundtrip import written_and_read


def of_function(function, start, count=1000) -> ls.Objective:
    """L(w) = function(w) on ``count`` examples that all say the same."""
    return ls.Objective.from_loss(Point(start), lambda m, b: function(m.w) + 0 * b.mean(), torch.ones(count))


def of_quadratic(curvatures: np.ndarray, n: int, gamma: float) -> float:
    strength = n / math.log(n)
    return float((strength * curvatures / (2 * (strength * curvatures + gamma))).sum())


CURVATURES = np.array([0.0, 0.01, 0.3, 1.0, 5.0])


@pytest.mark.parametrize(("gamma", "seed"), [(100.0, 0), (100.0, 1), (30.0, 2)])
def test_of_a_quadratic_it_is_its_closed_form_at_finite_n(gamma, seed):
    half = torch.tensor(CURVATURES) / 2
    objective = of_function(lambda w: half @ w.square(), [0.0] * 5)
    found = ls.learning_coefficient(objective, localization=gamma, seed=seed)
    assert abs(found.value - of_quadratic(CURVATURES, 1000, gamma)) < 4 * found.error
    assert found.error < 0.1
    assert found.converged
    assert found.inverse_temperature == pytest.approx(1 / math.log(1000))


def test_long_steps_leave_a_quadratic_exact():
    """εh = 3.2 in the sharpest direction; noise of one step alone would be 1/(1 − εh/4) = 5 times too wide."""
    half = torch.tensor([1.0, 1.0], dtype=DOUBLE) / 2
    objective = of_function(lambda w: half @ w.square(), [0.0, 0.0])
    strength = 1000 / math.log(1000)
    found = ls.learning_coefficient(objective, localization=10.0, step_size=3.2 / (strength + 10))
    assert abs(found.value - strength / (strength + 10)) < 4 * found.error
    assert found.error < 0.05


@pytest.mark.slow
def test_its_interval_covers_the_closed_form():
    """60 seeds of two short chains."""
    half = torch.tensor(CURVATURES) / 2
    objective = of_function(lambda w: half @ w.square(), [0.0] * 5, count=300)
    truth, covered = of_quadratic(CURVATURES, 300, 100.0), 0
    for seed in range(60):
        found = ls.learning_coefficient(objective, num_chains=2, steps=800, seed=seed, strict=False)
        low, high = found.interval()
        covered += low <= truth <= high
    low, high = stats.binom.ppf([0.001, 0.999], 60, 0.95)
    assert low - 2 <= covered <= high


@pytest.mark.parametrize("batch_size", [None, 20])
def test_of_least_squares_it_is_the_closed_form_on_all_data_and_on_batches(batch_size):
    """On batches the gradient of a batch is corrected; without that its noise would be that of nβ·∇L_m."""
    x, noise = draw(400, 4, seed=1), draw(400, 1, seed=2)
    w = torch.linalg.lstsq(x, noise).solution
    with torch.random.fork_rng():
        model = nn.Linear(4, 1, bias=False).double()
    objective = ls.Objective(model, nn.functional.mse_loss, (x, noise))
    truth = of_quadratic(np.linalg.eigvalsh((2 / 400 * x.T @ x).numpy()), 400, 100.0)
    found = ls.learning_coefficient(objective, theta=w[:, 0], batch_size=batch_size)
    assert abs(found.value - truth) < 4 * found.error + (0 if batch_size is None else 0.05 * truth)
    assert found.batch_size == (batch_size or 400)
    assert "batches of 20" in found.method if batch_size else "all data" in found.method
    share = 1.0 if batch_size is None else 2 * 20 / 400
    assert found.num_gradients == pytest.approx(1 + share * found.rises.size, rel=1e-6)


def degenerate(n: int) -> float:
    """nβ·E[x²y²] over the square [−1, 1]² with density exp(−nβx²y²), by quadrature."""
    t = n / math.log(n)

    def weight(x):  # ∫ over y, with c = √t·x
        c = math.sqrt(t) * x
        return math.sqrt(math.pi) * special.erf(c) / c if c > 1e-9 else 2.0

    def weighed(x):
        c = math.sqrt(t) * x
        return (math.sqrt(math.pi) / 2 * special.erf(c) - c * math.exp(-c * c)) / c if c > 1e-9 else 0.0

    ends = {"limit": 500, "points": [t**-0.5, 10 * t**-0.5]}
    return integrate.quad(weighed, 0, 1, **ends)[0] / integrate.quad(weight, 0, 1, **ends)[0]


def test_the_quadrature_gives_the_published_values():
    assert [round(degenerate(n), 2) for n in (10**3, 10**4, 10**5)] == [0.36, 0.39, 0.41]


@pytest.mark.slow
def test_of_a_degenerate_minimum_it_is_below_half_the_number_of_parameters():
    """x²y² on the square, folded so that the walls reflect: flat along both axes, where second derivatives end."""

    def folded(w):
        inside = 1 - (torch.remainder(w + 1, 4) - 2).abs()  # a wave of height 1 that is w on [−1, 1]
        return inside[0] ** 2 * inside[1] ** 2

    objective = of_function(folded, [0.0, 0.0])
    found = ls.learning_coefficient(objective, localization=0.0, step_size=0.006, steps=16_000, strict=False)
    assert abs(found.value - degenerate(1000)) < 4 * found.error
    assert found.error < 0.03


def reduced_rank(inputs: int, outputs: int, n: float, gamma: float) -> float:
    """Of ½‖b aᵀ‖², a linear network with one hidden unit where the truth is zero: a is Gaussian where b is known.

    ``inputs/2·E[nβb²/(nβb² + γ)]`` over lengths of b with density ``b^(outputs−1)·exp(−γb²/2)·(nβb² + γ)^(−inputs/2)``.
    """
    t = n / math.log(n)
    b = np.exp(np.linspace(math.log(1e-4 * t**-0.5), math.log(12 * gamma**-0.5), 20_001))  # evenly in the logarithm
    weight = b**outputs * np.exp(-gamma * b * b / 2) * (t * b * b / gamma + 1) ** (-inputs / 2)
    return inputs / 2 * float((weight * t * b * b / (t * b * b + gamma)).sum() / weight.sum())


def test_the_integral_of_reduced_rank_regression_goes_to_its_learning_coefficient():
    """Aoyagi & Watanabe 2005, theorem 1, for rank 0: 3 inputs and 2 outputs, (8 where the sum is even)/8."""
    assert reduced_rank(3, 2, 1e12, 1.0) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("seed", range(2))
def test_of_reduced_rank_regression_it_is_its_integral_at_finite_n(seed):
    """Flat at θ = 0 and steep around it: the length of steps is set by where the chains come to."""
    objective = of_function(lambda w: w[:3].square().sum() * w[3:].square().sum() / 2, [0.0] * 5)
    found = ls.learning_coefficient(objective, localization=10.0, seed=seed, steps=4000)
    assert abs(found.value - reduced_rank(3, 2, 1000, 10.0)) < 4 * found.error
    assert found.error < 0.1
    assert found.step_size < 0.05
    assert found.stability < 4


@pytest.mark.slow
def test_chains_that_come_to_the_steep_late_begin_again_with_shorter_steps():
    """Held loosely, a chain leaves the finite numbers at its 634th step, long after lengths were first looked at."""
    objective = of_function(lambda w: w[:3].square().sum() * w[3:].square().sum() / 2, [0.0] * 5)
    found = ls.learning_coefficient(objective, localization=1.0, seed=100, steps=16_000)
    assert abs(found.value - reduced_rank(3, 2, 1000, 1.0)) < 4 * found.error
    assert found.num_gradients > found.rises.size + 2 * 500  # what was walked before is counted


def test_as_a_measure_of_sharpness_it_is_the_same_number():
    objective = of_function(lambda w: w @ w, [0.0, 0.0], count=100)
    found = ls.learning_coefficient(objective, seed=2)
    one = ls.sharpness(objective, measure="llc", seed=2)
    assert (one.value, one.error) == (found.value, found.error)
    assert one.interval() == pytest.approx(found.interval(), rel=0.1)
    assert "R̂" in one.method
    assert "γ = 100" in one.reference


def test_chains_that_were_too_short_say_so():
    objective = LeastSquares().objective
    with pytest.raises(NotConverged, match="after 40 steps of each chain R̂ is") as raised:
        ls.learning_coefficient(objective, steps=40)
    partial = raised.value.partial
    assert Ending.of(partial.reason) is Ending.NOT_MIXED
    assert partial.rises.shape == (4, 40)
    assert partial.num_kept == 28
    with pytest.raises(NotConverged, match="effective draws"):
        ls.sharpness(objective, measure="llc", steps=40)


def test_a_step_that_is_too_long_is_seen():
    objective = of_function(lambda w: (w @ w) ** 2 + w @ w, [0.5, 0.0], count=100)
    with pytest.raises(NotConverged, match="left the finite numbers at step") as raised:
        ls.learning_coefficient(objective, step_size=1.0)
    partial = raised.value.partial
    assert partial.error is None
    assert Ending.of(partial.reason) is Ending.CHAIN_LOST
    with pytest.raises(UsageError, match="no error, so no interval: chain"):
        partial.interval()


def test_a_step_too_long_for_where_the_chains_come_is_seen():
    """A loss of bounded slope keeps walks finite that are of no use."""
    objective = of_function(lambda w: (1 - torch.cos(w)).sum(), [0.0] * 5)
    too_long = 8 / (1000 / math.log(1000) + 1)
    with pytest.raises(NotConverged, match="is too long where the chains have come"):
        ls.learning_coefficient(objective, localization=1.0, step_size=too_long, steps=300)


def test_a_point_that_is_no_minimum_is_said_to_be_none():
    objective = of_function(lambda w: torch.cos(w).sum(), [0.0, 0.0])
    with pytest.raises(NotConverged, match="the loss is lower around the point than at it"):
        ls.learning_coefficient(objective, localization=1.0, step_size=0.01)


def test_one_chain_and_one_seed_are_what_they_are():
    objective = of_function(lambda w: w @ w, [0.0, 0.0], count=100)
    one = ls.learning_coefficient(objective, num_chains=1, steps=500, strict=False)
    again = ls.learning_coefficient(objective, num_chains=1, steps=500, strict=False)
    other = ls.learning_coefficient(objective, num_chains=1, steps=500, seed=1, strict=False)
    assert np.array_equal(one.rises, again.rises)
    assert not np.array_equal(one.rises, other.rises)
    four = ls.learning_coefficient(objective, steps=500, strict=False)
    assert np.array_equal(four.rises[0][: one.rises.shape[1]], one.rises[0][: four.rises.shape[1]])


def test_the_model_and_the_global_generators_stay_as_they_were():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2)).train()
    objective = ls.Objective(model, nn.functional.cross_entropy, (draw(30, 3).float(), torch.arange(30) % 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    ls.learning_coefficient(objective, steps=20, batch_size=10, strict=False)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(part.training for part in model.modules())
    assert torch.equal(torch.random.get_rng_state(), state)


def test_it_prints_goes_to_a_file_and_back(tmp_path):
    found = ls.learning_coefficient(of_function(lambda w: w @ w, [0.0, 0.0], count=100))
    text = str(found)
    assert text.startswith("learning coefficient")
    assert "effective draws" in text
    again = written_and_read(found, tmp_path)
    assert str(again) == text
    assert np.array_equal(again.rises, found.rises)
    assert found.per_chain.mean() == pytest.approx(found.value)


def test_what_is_no_setting_is_refused():
    objective = of_function(lambda w: w @ w, [0.0, 0.0], count=1)
    with pytest.raises(UsageError, match="of one example that is infinite"):
        ls.learning_coefficient(objective)
    flat = of_function(lambda w: (w @ w) ** 2, [0.0, 0.0], count=100)
    with pytest.raises(UsageError, match="sets no length of a step"):
        ls.learning_coefficient(flat, localization=0.0)
    data = [(draw(4, 3), torch.arange(4) % 2)] * 2
    together = ls.Objective(
        built(lambda: nn.Linear(3, 2)).double(), nn.functional.cross_entropy, data, interacting=True
    )
    with pytest.raises(ObjectiveError, match="no batches can be drawn"):
        ls.learning_coefficient(together, batch_size=2)
