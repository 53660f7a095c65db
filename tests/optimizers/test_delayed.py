"""Late gradients: which are taken, where that becomes unstable, and that random delays are momentum in the mean."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.errors import UsageError
from landscape.optimizers import delayed_limit, make_optimizer
from tests.support.stepping import START, A, LossOf, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


def test_delayed_steps_use_the_gradient_from_where_the_parameters_stood_then():
    places, _, _ = steps("delayed-sgd", 6, lr=0.05, delay=2)
    points = [START, *places]
    for t in range(6):
        old = A @ points[t - 2] if t >= 2 else torch.zeros(3, dtype=torch.float64)
        assert torch.allclose(points[t + 1], points[t] - 0.05 * old, rtol=1e-12)
    plain, _, _ = steps("delayed-sgd", 3, lr=0.05, delay=0)
    assert torch.allclose(plain[-1], START * (1 - 0.05 * A.diagonal()) ** 3, rtol=1e-12)


def test_momentum_without_delay_is_that_of_torch_and_goes_on_from_late_gradients():
    now, _, _ = steps("delayed-sgd", 9, lr=0.02, delay=0, momentum=0.8)
    reference, _, _ = steps("momentum", 9, lr=0.02, momentum=0.8)
    assert torch.allclose(torch.stack(now), torch.stack(reference), rtol=1e-12)
    places, _, _ = steps("delayed-sgd", 9, lr=0.02, delay=3, momentum=-0.4)
    points = [START, START, *places]  # at rest before the beginning
    for t in range(1, 10):
        old = A @ points[t - 3] if t >= 4 else torch.zeros(3, dtype=torch.float64)
        expected = points[t] - 0.4 * (points[t] - points[t - 1]) - 0.02 * old
        assert torch.allclose(points[t + 1], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("delay", [0, 1, 3, 6])
def test_a_delay_lowers_the_largest_stable_step_as_the_characteristic_polynomial_says(delay):
    limit = 2 * math.sin(math.pi / (4 * delay + 2)) / 10  # the largest curvature is 10
    assert delayed_limit(delay) / 10 == pytest.approx(limit, rel=1e-12)
    below, _, _ = steps("delayed-sgd", 4000, lr=0.97 * limit, delay=delay)
    above, _, _ = steps("delayed-sgd", 4000, lr=1.03 * limit, delay=delay)
    assert abs(float(below[-1][2])) < 1e-3
    assert abs(float(above[-1][2])) > 1e3


@pytest.mark.parametrize("momentum", [-0.9, -0.5, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("delay", [0, 1, 2, 3, 5, 8])
def test_at_the_limit_the_largest_root_of_the_characteristic_polynomial_crosses_one(delay, momentum):
    """Of θ_{t+1} = θ_t + β(θ_t − θ_{t−1}) − ηλ θ_{t−τ}, by the eigenvalues of its companion matrix."""

    def radius(step):
        matrix = np.eye(delay + 2, k=-1)
        matrix[0, :2] = 1 + momentum, -momentum
        matrix[0, delay] -= step
        return np.abs(np.linalg.eigvals(matrix)).max()

    limit = delayed_limit(delay, momentum)
    assert all(radius(share * limit) < 1 for share in (0.1, 0.5, 0.9, 0.999))
    assert radius(1.001 * limit) > 1


@pytest.mark.parametrize(("delay", "momentum"), [(-1, 0.0), (1.5, 0.0), (2, 1.0), (2, "high")])
def test_a_limit_of_impossible_settings_is_refused(delay, momentum):
    with pytest.raises(UsageError):
        delayed_limit(delay, momentum)


def test_geometric_delays_have_the_mean_that_is_asked_for():
    """Under the loss cₜ·θ with cₜ = t, each step moves by minus the time its gradient is from."""
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = make_optimizer("delayed-sgd", [parameter], lr=1.0, delay=3, law="geometric")
    lags = []
    for t in range(1, 6001):
        before = float(parameter.detach())
        optimizer.step(LossOf(parameter, lambda x, t=t: t * x.sum()))
        moved = before - float(parameter.detach())
        if t > 100 and moved:
            lags.append(t - moved)
    assert min(lags) == 0
    assert len(lags) > 5890
    spread = math.sqrt(3 * 4 / len(lags))  # variance of the law: τ̄(1 + τ̄)
    assert np.mean(lags) == pytest.approx(3, abs=4 * spread)
    assert np.mean(np.array(lags) == 0) == pytest.approx(1 / 4, abs=4 * math.sqrt(3 / 16 / len(lags)))


@pytest.mark.slow
def test_in_the_mean_random_delays_are_momentum():
    """Mean over 1,500 runs on one curvature against E θ_{t+1} = θ_t + μ(θ_t − θ_{t−1}) − (1 − μ)ηλθ_t; μ = 3/4."""
    runs, count, mu, eta = 1500, 14, 0.75, 0.4
    ends = []
    for _ in range(runs):
        places, _, _ = steps(
            "delayed-sgd", count, lambda x: 0.5 * (x**2).sum(), lr=eta, start=START[:1], delay=3, law="geometric"
        )
        ends.append(torch.cat(places).numpy())
    expected = [3.0, 3.0]
    for _ in range(count):
        now, before = expected[-1], expected[-2]
        expected.append(now + mu * (now - before) - (1 - mu) * eta * now)
    mean, sem = np.mean(ends, axis=0), np.std(ends, axis=0) / math.sqrt(runs)
    assert (np.abs(mean - expected[2:]) < 4.5 * sem).all()
    plain = 3 * (1 - eta) ** np.arange(1, count + 1)
    assert (np.abs(mean - plain)[:4] > 20 * sem[:4]).all(), "without momentum it would be elsewhere"
