"""Statistics of few replicates: closed forms, published tables, and levels that hold over simulated studies."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy import stats

from landscape.statistics import (
    bootstrap_interval,
    contrast,
    effect_size,
    equal_spread,
    holm,
    kendall,
    mean_interval,
    permutation_test,
    std_interval,
)


def within_binomial(hits, count, nominal, *, sigmas=4.0):
    return abs(hits / count - nominal) <= sigmas * (nominal * (1 - nominal) / count) ** 0.5


# --- intervals --------------------------------------------------------------------------------------------------------


def test_students_interval_of_five_values_is_that_of_his_table():
    mean, low, high, std = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (mean, std) == (3.0, pytest.approx(2.5**0.5))
    assert high - mean == pytest.approx(2.776445 * 0.5**0.5, rel=1e-6) == mean - low


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_students_interval_of_normal_seeds_covers_as_it_says(n):
    draws = np.random.default_rng(n).normal(2.0, 3.0, size=(4000, n))
    hits = sum(low <= 2.0 <= high for _, low, high, _ in map(mean_interval, draws))
    assert within_binomial(hits, 4000, 0.95)


@pytest.mark.parametrize(("n", "least"), [(5, 0.90), (10, 0.93), (20, 0.935)])
def test_the_studentised_bootstrap_covers_the_mean_of_skewed_seeds_where_the_percentile_one_does_not(n, least):
    draws = np.random.default_rng(n).exponential(size=(600, n))
    found = [bootstrap_interval(x, resamples=999, seed=i) for i, x in enumerate(draws)]
    hits = np.mean([low <= 1.0 <= high for _, low, high in found])
    assert hits >= least - 4 * (least * (1 - least) / 600) ** 0.5
    if n == 5:
        rng = np.random.default_rng(0)
        percentile = [np.quantile(x[rng.integers(n, size=(999, n))].mean(1), [0.025, 0.975]) for x in draws]
        assert np.mean([low <= 1.0 <= high for low, high in percentile]) < 0.85


def test_there_is_no_bootstrap_interval_without_spread():
    assert np.isnan(bootstrap_interval([1.0, 1.0, 1.0, 1.0])[1])
    assert np.isnan(bootstrap_interval([1.0, 2.0])[1])


DRAWS = {
    "normal": (lambda rng, size: rng.normal(3.0, 2.0, size), 2.0),
    "long tails": (lambda rng, size: rng.standard_t(6, size), 1.5**0.5),
    "skewed": (lambda rng, size: rng.exponential(1.0, size), 1.0),
}


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10, 20])
@pytest.mark.parametrize(("kind", "least"), [("normal", 0.95), ("long tails", 0.93), ("skewed", 0.88)])
def test_the_interval_of_a_standard_deviation_covers_where_tails_are_long_too(kind, least, n):
    draw, truth = DRAWS[kind]
    found = [std_interval(x) for x in draw(np.random.default_rng(n), (2000, n))]
    hits = np.mean([low <= truth <= high for _, low, high in found])
    assert hits >= least - 4 * (least * (1 - least) / 2000) ** 0.5
    assert all(low < std < high for std, low, high in found)


@pytest.mark.parametrize(("kind", "kurtosis"), [("normal", 3.0), ("skewed", 9.0)])
def test_of_many_values_the_interval_of_a_standard_deviation_is_that_of_the_limit_theorem(kind, kurtosis):
    draw, truth = DRAWS[kind]
    n = 400_000
    std, low, high = std_interval(draw(np.random.default_rng(1), n))
    half = 1.959964 * ((kurtosis - 1) / (4 * n)) ** 0.5  # the delta method, relative
    assert std == pytest.approx(truth, rel=4 * half)
    assert np.log(high / std) == pytest.approx(half, rel=0.03) == pytest.approx(np.log(std / low), rel=0.03)


def test_four_values_or_equal_ones_have_a_standard_deviation_without_an_interval():
    assert std_interval([1.0, 2.0, 3.0, 4.0])[0] == pytest.approx((5 / 3) ** 0.5)
    assert np.isnan(std_interval([1.0, 2.0, 3.0, 4.0])[1:]).all()
    assert np.isnan(std_interval([2.0] * 6)[1:]).all()
    assert np.isnan(std_interval([2.0])[0])


@pytest.mark.parametrize("kind", DRAWS)
def test_groups_of_one_spread_are_called_unlike_no_more_often_than_the_level_says(kind):
    draw, _ = DRAWS[kind]
    rng = np.random.default_rng(3)
    found = [equal_spread(draw(rng, (3, 10)) + rng.normal(0, 100, (3, 1))) for _ in range(1000)]
    assert np.mean([p <= 0.05 for p in found]) <= 0.05 + 4 * (0.05 * 0.95 / 1000) ** 0.5


def test_a_spread_five_times_as_large_is_seen_in_ten_values():
    rng = np.random.default_rng(4)
    found = [equal_spread([rng.normal(0, 1, 10), rng.normal(9, 5, 10)]) for _ in range(300)]
    assert np.mean([p <= 0.05 for p in found]) > 0.8
    assert np.isnan(equal_spread([[1.0, 2.0, 3.0]]))
    assert np.isnan(equal_spread([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]))


# --- permutations -----------------------------------------------------------------------------------------------------


def test_a_paired_permutation_test_counts_the_signs_that_would_differ_as_much():
    a, b = np.array([3.0, 1.0, 4.0, 1.5, 5.0]), np.array([2.0, 1.2, 2.5, 1.0, 1.0])
    seen = abs((a - b).mean())
    count = sum(abs(np.mean(np.array(s) * (a - b))) >= seen - 1e-12 for s in product((1, -1), repeat=5))
    p, smallest = permutation_test(a, b, paired=True)
    assert p == pytest.approx(count / 32)
    assert smallest == 2 / 32


def test_groups_that_do_not_overlap_reach_the_smallest_p_there_is():
    p, smallest = permutation_test([1.0, 2.0, 3.0], [11.0, 12.0, 13.0], paired=False)
    assert p == smallest == pytest.approx(0.1)
    p, smallest = permutation_test(range(5), range(100, 105), paired=True)
    assert p == smallest == pytest.approx(0.0625)


def test_the_p_of_random_rearrangements_is_near_the_exact_one_and_never_zero():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 15), rng.normal(0.8, 1, 15)
    p, smallest = permutation_test(a, b, paired=False)
    assert p == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue, rel=0.35)
    assert permutation_test(a, a + 100, paired=False)[0] >= smallest > 0


@pytest.mark.parametrize(("n", "m"), [(3, 5), (4, 4), (2, 6), (5, 6)])
def test_without_pairs_the_p_counts_the_deals_as_far_out_by_welchs_t_and_is_not_below_that_of_his_test(n, m):
    rng = np.random.default_rng(10 * n + m)
    values = np.concatenate([rng.normal(1, 3, n), rng.normal(0, 1, m)])
    with np.errstate(all="ignore"):
        t = [
            stats.ttest_ind(values[list(own)], np.delete(values, own), equal_var=False).statistic
            for own in combinations(range(n + m), n)
        ]
    sides = [sum(x >= t[0] - 1e-9 for x in t), sum(x <= t[0] + 1e-9 for x in t)]
    p, smallest = permutation_test(values[:n], values[n:], paired=False)
    found = stats.ttest_ind(values[:n], values[n:], equal_var=False)
    freedom = min(n, m) - 1 if n != m and min(n, m) < 5 else found.df
    by_t = 2 * stats.t.sf(abs(found.statistic), freedom)
    assert p == pytest.approx(max(min(1.0, 2 * min(sides) / len(t)), by_t))
    assert smallest == 2 / len(t)


@pytest.mark.slow
def test_where_the_smaller_group_is_the_wider_the_test_holds_its_level_and_that_of_means_does_not():
    rng, studies = np.random.default_rng(0), 600
    for n, m in ((3, 10), (5, 15)):
        draws = [(rng.normal(0, 3, n), rng.normal(0, 1, m)) for _ in range(studies)]
        rejected = sum(permutation_test(x, y, paired=False)[0] <= 0.05 for x, y in draws)
        assert rejected <= stats.binom.ppf(0.999, studies, 0.05)
    means = sum(
        stats.permutation_test(
            pair, lambda x, y, axis: x.mean(axis=axis) - y.mean(axis=axis), n_resamples=999, vectorized=True, rng=i
        ).pvalue
        <= 0.05
        for i, pair in enumerate(draws)
    )
    assert means > 0.15 * studies


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("n", [5, 10])
def test_a_permutation_test_rejects_no_more_true_hypotheses_than_it_says(n, paired):
    rng = np.random.default_rng(n)
    rejected = sum(
        permutation_test(rng.exponential(size=n), rng.exponential(size=n), paired=paired, seed=i)[0] <= 0.1
        for i in range(300)
    )
    assert rejected / 300 <= 0.1 + 4 * (0.09 / 300) ** 0.5


def test_holm_is_the_procedure_worked_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    found = holm([0.02, np.nan, 0.03])
    assert found[[0, 2]] == pytest.approx([0.04, 0.04])
    assert np.isnan(found[1])


# --- effects ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_hedges_g_has_the_mean_of_the_true_effect():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1.0, 1.0, size=(6000, 5)), rng.normal(0.0, 1.0, size=(6000, 5))
    found = np.array([effect_size(x, y, paired=False)[0] for x, y in zip(a[:1500], b[:1500], strict=True)])
    assert abs(found.mean() - 1.0) <= 4 * found.std() / 1500**0.5


@pytest.mark.slow
@pytest.mark.parametrize("paired", [True, False])
def test_the_interval_of_an_effect_covers_as_it_says(paired):
    rng = np.random.default_rng(1)
    hits, count, n, effect = 0, 400, 6, 0.8
    for _ in range(count):
        if paired:  # differences with standard deviation 1
            common = rng.normal(0, 3, n)
            a, b = common + rng.normal(effect, 0.5**0.5, n), common + rng.normal(0, 0.5**0.5, n)
        else:
            a, b = rng.normal(effect, 1, n), rng.normal(0, 1, n)
        _, low, high = effect_size(a, b, paired=paired)
        hits += low <= effect <= high
    assert within_binomial(hits, count, 0.95)


def test_a_difference_a_thousand_times_the_spread_has_an_interval_too():
    g, low, high = effect_size([1000.0, 1001.0, 1002.0], [0.0, 1.0, 2.0], paired=False)
    assert low < g < high
    t = (1000.0) / (2 / 3) ** 0.5  # the noncentralities at which this t is the 2.5 % and the 97.5 % point
    root = 1.5**0.5
    assert stats.nct.cdf(t, 4, low * root) == pytest.approx(0.975, abs=1e-3)
    assert stats.nct.cdf(t, 4, high * root) == pytest.approx(0.025, abs=1e-3)


# --- ranks ------------------------------------------------------------------------------------------------------------


def test_kendalls_tau_counts_pairs():
    x, y = [1, 2, 3, 4, 5, 6], [1, 3, 2, 4, 6, 5]
    found = kendall(x, y)
    assert found.value == pytest.approx((13 - 2) / 15)
    assert found.low < found.value < found.high < 1
    assert np.isnan(kendall([1, 2, 3], [1, 2, 3]).value)
    assert np.isnan(kendall([1.0] * 8, range(8)).value)
    assert kendall([*range(8), np.nan], [*range(8), 3.0]).n == 8


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 12, 30])
@pytest.mark.parametrize("rho", [0.0, 0.5, 0.8])
def test_the_interval_of_tau_covers_as_it_says(n, rho):
    """τ of a bivariate normal is (2/π)·arcsin ρ."""
    rng = np.random.default_rng(n)
    truth = 2 / np.pi * np.arcsin(rho)
    pairs = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(500, n))
    found = [kendall(p[:, 0], p[:, 1]) for p in pairs]
    assert np.mean([f.low <= truth <= f.high for f in found]) >= 0.95 - 4 * (0.05 * 0.95 / 500) ** 0.5


# --- contrasts --------------------------------------------------------------------------------------------------------


def test_groups_with_the_same_seeds_are_paired_and_what_seeds_share_cancels():
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 10, 6)
    a = {seed: shared[seed] + 1.0 + 0.1 * rng.normal() for seed in range(6)}
    b = {seed: shared[seed] + 0.1 * rng.normal() for seed in range(6)}
    paired, apart = contrast(a, b), contrast(a, {seed + 10: value for seed, value in b.items()})
    assert paired.paired
    assert not apart.paired
    assert paired.low < 1.0 < paired.high
    assert paired.high - paired.low < 0.1 * (apart.high - apart.low)
    assert paired.p == paired.smallest_p == pytest.approx(2 / 64)


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5, 5), (10, 6), (20, 20)])
def test_the_interval_of_a_difference_covers_as_it_says(sizes):
    rng = np.random.default_rng(sum(sizes))
    hits = 0
    for _ in range(1000):
        a = dict(enumerate(rng.normal(3.0, 1.0, sizes[0])))
        b = {100 + i: x for i, x in enumerate(rng.normal(1.0, 2.0, sizes[1]))}
        x, y = np.array(list(a.values())), np.array(list(b.values()))
        interval = stats.ttest_ind(x, y, equal_var=False).confidence_interval()
        hits += interval.low <= 2.0 <= interval.high
    assert hits / 1000 >= 0.95 - 4 * (0.05 * 0.95 / 1000) ** 0.5 - 0.01  # Welch's freedom is an approximation
    one = contrast(a, b)
    assert (one.low, one.high) == pytest.approx((interval.low, interval.high))


def test_a_single_run_has_a_difference_and_nothing_else():
    found = contrast({0: 1.0}, {0: 3.0, 1: 4.0})
    assert found.difference == pytest.approx(-2.5)
    assert np.isnan([found.low, found.effect, found.p]).all()


def test_means_that_differ_by_their_rounding_do_not_differ():
    """Accuracies of 540 examples in another order: sums of the same numbers."""
    hits = [526, 529, 523, 531, 527]
    a, b = ({seed: n / 540 for seed, n in enumerate(order)} for order in (hits, sorted(hits)))
    assert contrast(a, b).difference == 0.0
    assert contrast(a, {seed + 9: value for seed, value in b.items()}).difference == 0.0
    assert contrast(a, {seed: value + 1e-9 for seed, value in b.items()}).difference == pytest.approx(-1e-9)
