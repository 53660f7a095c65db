"""Between two checkpoints: exact where the curve is straight, with an error that covers where it is not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.crossing import WIDE, between, bracket, enough_runs, levels_upwards, lowest_level

NAN = float("nan")


def read(losses, curve, level, *, log=True, errors=None):
    values = [curve(x) for x in losses]
    return between(losses, values, errors or [NAN] * len(losses), level, log=log)


def test_the_first_crossing_counts_and_the_checkpoint_before_it_is_the_upper_end():
    found = bracket([2.0, NAN, 0.9, NAN, 0.3, 0.8, 0.2], 0.5)
    assert (found.above, found.below) == (2, 4)
    assert (found.loss_above, found.loss_below) == (0.9, 0.3)
    assert 0 < found.weight < 1


def test_a_level_that_a_checkpoint_has_is_that_checkpoint():
    assert bracket([2.0, 0.5, 0.1], 0.5).weight == 1.0
    first = bracket([0.5, 0.1], 0.5)
    assert (first.above, first.below, first.width) == (0, 0, 1.0)
    assert bracket([2.0, 0.5 * (1 + 1e-8), 0.1], 0.5).below == 1  # float32 and another order of summation


@pytest.mark.parametrize("losses", [[2.0, 1.0], [0.4, 0.3], [], [NAN]])
def test_a_level_that_is_not_passed_has_no_bracket(losses):
    assert bracket(losses, 0.5) is None


@pytest.mark.parametrize(("c", "p"), [(3.0, 0.5), (0.2, -1.3), (7.0, 0.0)])
def test_a_power_is_exact_and_has_no_bend(c, p):
    found = read([2.0, 1.1, 0.7, 0.02, 0.001], lambda x: c * x**p, 0.3)
    assert found.value == pytest.approx(c * 0.3**p, rel=1e-13)
    assert found.bend == pytest.approx(0.0, abs=1e-12)


def test_losses_below_zero_are_taken_as_they_are():
    found = read([1.0, -1.0], lambda x: 5.0 + 2.0 * x, -0.2, log=False)
    assert found.value == pytest.approx(4.6)
    assert bracket([1.0, -1.0], -0.2).width == math.inf
    assert bracket([1.0, -1.0], -0.2).is_wide


def test_a_bracket_of_more_than_a_factor_of_three_is_wide():
    assert not bracket([0.9, 0.31], 0.5).is_wide
    assert bracket([0.94, 0.31], 0.5).is_wide
    assert WIDE == 3


def test_of_a_parabola_in_logarithms_a_third_checkpoint_tells_the_error_exactly():
    """log λ = 2x + 0.3x² at x = log ℓ: linear interpolation is off by 0.3·(x_a − x)(x − x_b)."""
    curve = lambda loss: math.exp(2 * math.log(loss) + 0.3 * math.log(loss) ** 2)  # noqa: E731
    for losses in ([3.0, 1.0, 0.3], [1.0, 0.3, 0.05], [3.0, 1.0, 0.3, 0.05]):
        found = read(losses, curve, 0.5)
        off = abs(math.log(found.value / curve(0.5)))
        assert found.bend == pytest.approx(off, rel=1e-9)
        assert off == pytest.approx(0.3 * math.log(2) * math.log(0.5 / 0.3), rel=1e-9)


def test_a_third_checkpoint_too_near_to_tell_the_bend_from_noise_is_passed_over():
    """The one before is a tenth of the width away, and its λ a little off: the parabola through it would be absurd."""
    losses, values = [1.1, 1.0, 0.3], [2.2, 2.0, 1.0]
    alone = between(losses[1:], values[1:], [NAN] * 2, 0.5, log=True)
    assert between(losses, values, [NAN] * 3, 0.5, log=True).bend == alone.bend


def test_without_a_third_checkpoint_the_error_is_never_more_than_half_the_difference():
    for low in (0.9, 0.3, 1e-2, 1e-6):
        ends = [1.0, low]
        found = between(ends, [4.0, 1.0], [NAN, NAN], math.sqrt(low), log=True)
        assert 0 < found.bend <= math.log(4.0) / 2 + 1e-12
    close = between([1.0, 0.9], [4.0, 1.0], [NAN, NAN], 0.95, log=True)
    assert close.bend < 0.02 * math.log(4.0)


@pytest.mark.parametrize("factor", [1.25, 2.0, 3.0])
def test_on_curved_curves_with_noise_the_error_covers_about_as_often_as_a_standard_error_does(factor):
    """Slopes of −1 … 2 whose bend changes along the way, λ with 1 % of noise, checkpoints a factor apart."""
    rng, inside, twice, draws = np.random.default_rng(1), 0, 0, 1500
    for _ in range(draws):
        slope, bend, third, phase = rng.uniform(-1, 2), rng.normal(0, 0.2), rng.normal(0, 0.03), rng.uniform(0, 1)
        curve = lambda x, s=slope, b=bend, t=third: s * x + b * x**2 + t * x**3  # noqa: E731
        xs = np.log(2.0) - np.log(factor) * (np.arange(12) + phase)
        values = np.exp([curve(x) for x in xs] + 0.01 * rng.standard_normal(xs.size))
        level = float(np.exp(rng.uniform(xs[8], xs[2])))
        errors = (0.01 * values).tolist()
        found = between(np.exp(xs).tolist(), values.tolist(), errors, level, log=True)
        off = abs(math.log(found.value) - curve(math.log(level)))
        inside += off <= found.error
        twice += off <= 2 * found.error
    assert inside / draws >= 0.65
    assert twice / draws >= 0.95


def test_the_level_is_that_which_four_fifths_of_the_groups_reach_with_four_fifths_of_their_runs():
    reach = {g: [(0.1 * (g + 1) + 0.01 * s, 2.0) for s in range(5)] for g in range(5)}
    reach[4] = [(1.9, 2.0)] * 5
    assert lowest_level(reach) == pytest.approx(0.43)  # the fourth best run of the fourth best group
    assert [enough_runs(n) for n in (1, 2, 4, 5, 6, 10)] == [1, 2, 4, 4, 5, 8]


def test_a_level_must_be_passed_and_not_begun_below():
    assert lowest_level({"a": [(0.01, 0.02)] * 2, "b": [(0.5, 2.0)] * 2}) is None
    assert lowest_level({"a": [(0.01, 0.6)] * 2, "b": [(0.5, 2.0)] * 2}) == 0.5
    assert lowest_level({}) is None
    assert lowest_level({"a": [(NAN, NAN)]}) is None


def test_levels_above_are_evenly_spaced_and_passed_by_as_many_groups():
    reach = {"a": [(0.01, 1.0)] * 2, "b": [(0.005, 2.0)] * 2}
    levels = levels_upwards(reach, 0.01, count=4)
    assert levels == pytest.approx((0.01, 0.01 * 100**0.25, 0.1, 0.01 * 100**0.75))
    assert levels_upwards(reach, 0.01, count=1) == (0.01,)
    assert levels_upwards({"a": [(0.01, 0.011)]}, 0.01, count=4) == (0.01,)
