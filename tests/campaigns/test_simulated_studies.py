"""A thousand simulated studies of 5, 10 and 20 seeds: do intervals cover and tests reject as often as they say?"""

from __future__ import annotations

import numpy as np
import pytest

from landscape.statistics import bootstrap_interval, contrast, effect_size, holm, kendall, mean_interval

pytestmark = pytest.mark.campaign

STUDIES = 1000
SEEDS = (5, 10, 20)
ARMS = 4


def tolerated(nominal: float, *, sigmas: float = 4.0) -> float:
    return sigmas * (nominal * (1 - nominal) / STUDIES) ** 0.5


def study(rng: np.random.Generator, n: int, *, shared: float = 1.0, shift: float = 0.0) -> list[dict[int, float]]:
    """Arms whose seeds share a part, as initial weights do; the first is shifted."""
    common = shared * rng.standard_normal(n)
    return [dict(enumerate(common + rng.standard_normal(n) + (shift if arm == 0 else 0.0))) for arm in range(ARMS)]


@pytest.mark.parametrize("n", SEEDS)
def test_intervals_of_means_and_of_paired_differences_cover(n, record_property):
    rng = np.random.default_rng(n)
    means = differences = effects = 0
    for _ in range(STUDIES):
        arms = study(rng, n, shift=0.7)
        _, low, high, _ = mean_interval(list(arms[0].values()))
        means += low <= 0.7 <= high
        found = contrast(arms[0], arms[1])
        assert found.paired
        differences += found.low <= 0.7 <= found.high
        effects += found.effect_low <= 0.7 / 2**0.5 <= found.effect_high  # differences have standard deviation √2
    record_property("coverage", str((means / STUDIES, differences / STUDIES, effects / STUDIES)))
    for hits in (means, differences, effects):
        assert abs(hits / STUDIES - 0.95) <= tolerated(0.95)


@pytest.mark.parametrize("n", SEEDS)
def test_differences_of_unpaired_arms_with_unlike_spreads_cover(n, record_property):
    rng = np.random.default_rng(100 + n)
    hits = 0
    for _ in range(STUDIES):
        a = {seed: value for seed, value in enumerate(rng.normal(1.0, 3.0, n))}  # noqa: C416
        b = {1000 + seed: value for seed, value in enumerate(rng.normal(0.0, 1.0, n))}
        found = contrast(a, b)
        assert not found.paired
        hits += found.low <= 1.0 <= found.high
    record_property("coverage", str(hits / STUDIES))
    assert abs(hits / STUDIES - 0.95) <= tolerated(0.95) + 0.005  # Welch's t is an approximation, good to half a point


@pytest.mark.parametrize("n", SEEDS)
def test_no_more_studies_without_a_difference_find_one_than_the_level_says(n, record_property):
    """Over all six pairs of four equal arms, after Holm: at most 5 % of the studies find anything."""
    rng = np.random.default_rng(200 + n)
    alarms = single = 0
    for _ in range(STUDIES):
        arms = study(rng, n)
        p = [contrast(arms[i], arms[j]).p for i in range(ARMS) for j in range(i)]
        alarms += min(holm(p)) < 0.05
        single += p[0] < 0.05
    record_property("false positives", str((alarms / STUDIES, single / STUDIES)))
    assert alarms / STUDIES <= 0.05 + tolerated(0.05)
    assert single / STUDIES <= 0.05 + tolerated(0.05)
    if n == 5:
        assert alarms == single == 0  # 1/16 is the smallest p of five pairs


@pytest.mark.parametrize("n", SEEDS)
def test_the_studentised_bootstrap_covers_normal_seeds(n, record_property):
    rng = np.random.default_rng(300 + n)
    draws = rng.normal(2.0, 1.0, (STUDIES, n))
    found = [bootstrap_interval(x, resamples=999, seed=i) for i, x in enumerate(draws)]
    hits = sum(low <= 2.0 <= high for _, low, high in found)
    record_property("coverage", str(hits / STUDIES))
    assert hits / STUDIES >= 0.95 - tolerated(0.95) - (0.02 if n == 5 else 0.01)


@pytest.mark.parametrize("n", SEEDS)
def test_the_interval_of_kendalls_tau_covers(n, record_property):
    """Of a bivariate normal with correlation ρ, τ = 2 arcsin(ρ)/π."""
    if n < 6:
        pytest.skip("no interval for fewer than six pairs")
    rng = np.random.default_rng(400 + n)
    rho = 0.6
    truth = 2 * np.arcsin(rho) / np.pi
    hits = 0
    for _ in range(STUDIES):
        x = rng.standard_normal(n)
        y = rho * x + (1 - rho**2) ** 0.5 * rng.standard_normal(n)
        found = kendall(x, y)
        hits += found.low <= truth <= found.high
    record_property("coverage", str(hits / STUDIES))
    assert hits / STUDIES >= 0.95 - tolerated(0.95)


@pytest.mark.parametrize("n", SEEDS)
def test_hedges_g_is_unbiased(n, record_property):
    rng = np.random.default_rng(500 + n)
    found = np.array([effect_size(rng.normal(0.8, 1, n), rng.normal(0, 1, n), paired=False)[0] for _ in range(STUDIES)])
    record_property("mean", str(found.mean()))
    assert abs(found.mean() - 0.8) <= 4 * found.std() / STUDIES**0.5
