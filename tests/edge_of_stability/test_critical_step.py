"""The search for the critical step against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.edge_of_stability import CriticalStep


@pytest.mark.parametrize("start", [1e-4, 0.1, 0.5, 3.0, 1e4])
def test_on_a_quadratic_it_is_the_curvature_along_the_gradient(start):
    """L(θ − ηg) − L(θ) = −η gᵀg + η² gᵀAg/2, so η_c = 2 gᵀg / gᵀAg, from whatever first guess."""
    a, g = np.array([5.0, 2.0, 0.1]), np.array([1.0, -2.0, 0.5])
    search = CriticalStep(lambda eta: -eta * (g @ g) + eta**2 / 2 * (g @ (a * g)), rounding=1e-16)
    search.search(start)
    found = search.as_sharpness("the gradient")
    truth = (g @ (a * g)) / (g @ g)
    assert abs(found.value - truth) <= found.bound
    assert found.converged
    assert found.bound <= 0.02 * truth
    assert truth <= a.max()
    assert search.losses <= 12


@pytest.mark.parametrize("start", [1e-3, 0.7, 40.0])
def test_where_the_loss_is_no_parabola_the_bracket_holds_the_crossing(start):
    """Double well: (1 − η)⁴ − 1 is 0 at η = 2; exp: e^{−3η} + 0.2η² − 1 by a root finder of its own."""
    from scipy.optimize import brentq

    for rise, truth in (
        (lambda eta: (1 - eta) ** 4 - 1, 2.0),
        (lambda eta: math.exp(-3 * eta) + 0.2 * eta**2 - 1, None),
    ):
        truth = truth or brentq(lambda eta, rise=rise: rise(eta), 0.5, 10.0)
        search = CriticalStep(rise, rounding=1e-16)
        search.search(start)
        assert search.low <= truth <= search.high
        assert abs(search.as_sharpness("u").value - 2 / truth) <= search.as_sharpness("u").bound


def test_uphill_there_is_none_and_the_search_ends_soon():
    search = CriticalStep(lambda eta: 0.3 * eta + eta**2, rounding=1e-12)
    search.search(1.0)
    assert search.as_sharpness("u") is None
    assert search.losses <= 6


def test_a_guess_that_is_right_to_the_last_bit_is_no_end():
    """There the rise is rounding, of either sign."""
    for sign in (1.0, -1.0):
        search = CriticalStep(lambda eta, s=sign: s * 1e-9 if eta == 2.0 else -eta + eta**2 / 2, rounding=1e-7)
        search.search(2.0)
        found = search.as_sharpness("u")
        assert abs(found.value - 1.0) <= found.bound


def test_an_overflow_is_a_rise():
    search = CriticalStep(lambda eta: math.inf if eta > 3 else -eta + eta**2 / 2, rounding=1e-16)
    search.search(1e3)
    assert search.low <= 2.0 <= search.high
    assert search.is_narrow


def test_the_rounding_of_the_losses_is_in_the_error():
    """Losses on a grid of 0.05, wherever it begins, move the crossing; the stated bound reaches the truth all the same,
    and without the rounding in it would not."""
    missed = 0
    for shift in np.linspace(0, 0.05, 11):

        def loss(eta, shift=shift):
            return 0.05 * round((-eta + eta**2 / 2 + shift) / 0.05)

        search = CriticalStep(lambda eta, loss=loss: loss(eta) - loss(0.0), rounding=0.05, tol=0.002, most=60)
        search.search(1.9)
        found = search.as_sharpness("u")
        assert abs(found.value - 1.0) <= found.bound
        missed += not search.low <= 2.0 <= search.high
    assert missed >= 5


def test_where_nothing_is_known_below_a_crossing_a_look_there_may_show_an_earlier_one():
    """It rises from 0.9 to 1.8, falls, and rises from 3 on; the search begins at 3."""

    def rise(eta):
        return eta * (eta - 0.9) * (eta - 1.8) * (eta - 3.0) / 10

    search = CriticalStep(rise, rounding=1e-12)
    search.know(2.99, rise(2.99))
    search.search(3.01)
    assert search.low <= 0.9 <= search.high
