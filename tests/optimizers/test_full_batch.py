"""Line search, Barzilai–Borwein and Frank–Wolfe, against what can be said by hand on quadratics."""

from __future__ import annotations

import pytest
import torch

from tests.support.stepping import START, A, steps

pytestmark = pytest.mark.usefixtures("generator_of_its_own")


@pytest.mark.parametrize("curvature", [0.3, 1.0, 7.0, 100.0])
def test_backtracking_takes_the_first_halving_that_decreases_enough(curvature):
    """On ½Lx² the condition holds exactly for η ≤ 2(1 − c)/L."""
    c, start = 0.1, torch.tensor([2.0], dtype=torch.float64)
    places, _, optimizer = steps("line-search", 1, lambda x: 0.5 * curvature * x @ x, lr=4.0, c=c, start=start)
    expected = next(eta for k in range(99) if (eta := 4.0 / 2**k) <= 2 * (1 - c) / curvature)
    assert optimizer.step_size == expected
    assert float(places[0]) == pytest.approx(2.0 * (1 - expected * curvature))


def test_backtracking_that_finds_nothing_stays():
    places, _, optimizer = steps("line-search", 1, lr=1.0, most=1)
    assert torch.equal(places[0], START)
    assert optimizer.step_size == 0


@pytest.mark.parametrize("kind", ["long", "short"])
def test_barzilai_borwein_steps_are_the_secant_quotients(kind):
    places, _, optimizer = steps("barzilai-borwein", 4, lr=0.05, kind=kind)
    points = [START, *places]
    for k in (1, 2, 3):
        s = points[k] - points[k - 1]
        y = A @ s
        size = float(s @ s / (s @ y)) if kind == "long" else float(s @ y / (y @ y))
        assert torch.allclose(points[k + 1], points[k] - size * A @ points[k], rtol=1e-10)
    assert optimizer.step_size == pytest.approx(size)


def test_one_number_is_at_the_minimum_of_a_parabola_after_one_secant():
    for kind in ("long", "short", "diagonal"):
        start = torch.tensor([2.0], dtype=torch.float64)
        places, _, _ = steps("barzilai-borwein", 2, lambda x: 3.5 * (x @ x), lr=0.01, kind=kind, start=start)
        assert abs(float(places[1])) < 1e-12


def test_the_diagonal_secant_is_the_curvature_of_each_parameter_cut_to_the_range_of_the_two_steps():
    """Without a memory (μ = 0) sᵢyᵢ/sᵢ² is exactly the diagonal of a separable quadratic."""
    places, _, _ = steps("barzilai-borwein", 2, lr=0.05, kind="diagonal", mu=0.0)
    s = places[0] - START
    y = A @ s
    curvature = A.diagonal().clamp(float(s @ y / (s @ s)), float(y @ y / (s @ y)))
    assert torch.allclose(places[1], places[0] - A @ places[0] / curvature, rtol=1e-10)


def test_where_the_loss_is_concave_along_the_step_barzilai_borwein_takes_lr():
    places, _, optimizer = steps("barzilai-borwein", 2, lambda x: -0.5 * x @ x, lr=0.05)
    assert torch.allclose(places[1], START * 1.05**2, rtol=1e-12)
    assert optimizer.step_size == 0.05


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_frank_wolfe_stays_in_its_ball_and_gets_as_near_as_its_theorem_says(norm):
    """f − f* ≤ 2C/(t + 2) with C ≤ L·diameter² (Jaggi 2013, theorem 1); f* by projected descent on a fine grid."""
    target, radius, count = torch.tensor([3.0, -2.0, 0.5], dtype=torch.float64), 1.0, 60

    def f(x):
        return 0.5 * ((x - target) ** 2).sum()

    places, _, _ = steps("frank-wolfe", count, f, lr=1.0, radius=radius, norm=norm)
    size = {"l2": lambda p: p.norm(), "l1": lambda p: p.abs().sum(), "linf": lambda p: p.abs().max()}[norm]
    assert all(float(size(place)) <= radius * (1 + 1e-12) for place in places)
    nearest = {
        "l2": target / target.norm(),
        "l1": torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
        "linf": torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64),
    }[norm]
    diameter = {"l2": 2.0, "l1": 2.0, "linf": 2.0 * 3**0.5}[norm]
    for t, place in enumerate(places, start=1):
        assert float(f(place) - f(nearest)) <= 2 * diameter**2 / (t + 2) + 1e-12


def test_frank_wolfe_without_a_gradient_stays():
    places, _, _ = steps("frank-wolfe", 3, lambda x: 0 * x.sum(), lr=1.0, radius=100.0)
    assert torch.allclose(places[-1], START)
