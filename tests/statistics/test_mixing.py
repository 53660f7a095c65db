"""R̂ and effective draws: autoregressions whose autocorrelation time is known, and chains that have not mixed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal, stats

from landscape.errors import UsageError
from landscape.statistics import effective_size, split_rhat


def autoregression(phi: float, *, chains: int = 4, length: int = 4000, seed: int = 0) -> np.ndarray:
    """x' = φx + z from its stationary law: autocorrelations φᵏ, so that T draws are worth T(1 − φ)/(1 + φ)."""
    noise = np.random.default_rng(seed).standard_normal((chains, length))
    noise[:, 0] /= np.sqrt(1 - phi**2)
    return signal.lfilter([1.0], [1.0, -phi], noise, axis=1)


@pytest.mark.parametrize("phi", [0.0, 0.5, 0.9, 0.97])
def test_draws_of_an_autoregression_are_worth_their_share(phi):
    found = np.mean([effective_size(autoregression(phi, seed=seed)) for seed in range(5)])
    assert found == pytest.approx(16000 * (1 - phi) / (1 + phi), rel=0.15)


def test_chains_that_swing_to_and_fro_are_worth_more_than_they_are_long():
    found = effective_size(autoregression(-0.5))
    assert found == pytest.approx(16000 * 3, rel=0.2)


def test_the_error_of_the_mean_that_the_draws_imply_covers_the_truth():
    """200 sets of chains with φ = 0.8, whose mean is 0; z within 1.96 of it 95 times in 100, up to binomial chance."""
    covered = 0
    for seed in range(200):
        draws = autoregression(0.8, length=500, seed=seed)
        covered += abs(draws.mean()) <= 1.96 * draws.std() / np.sqrt(effective_size(draws))
    low, high = stats.binom.ppf([0.001, 0.999], 200, 0.95)
    assert low - 4 <= covered <= high


def test_rhat_is_near_one_for_mixed_chains_and_far_from_it_for_others():
    mixed = autoregression(0.3)
    assert 0.999 < split_rhat(mixed) < 1.005
    apart = mixed + np.array([0.0, 0.0, 0.0, 2.0])[:, None]
    assert split_rhat(apart) > 1.1
    drifting = mixed + np.linspace(0, 2, mixed.shape[1])
    assert split_rhat(drifting) > 1.05, "all chains are alike, but late is not like early"
    wider = mixed * np.array([1.0, 1.0, 1.0, 3.0])[:, None]
    assert split_rhat(wider) > 1.05, "equal means, other spreads"


def test_rhat_of_ranks_does_not_change_under_a_growing_function_of_heavy_tails():
    draws = autoregression(0.3)
    cubed = np.sinh(3 * draws)
    # The folded part is of distances, which such a function changes; of mixed chains both stay near one.
    assert split_rhat(cubed) == pytest.approx(split_rhat(draws), abs=3e-3)


def test_in_the_textbook_case_rhat_is_that_of_its_formula():
    """Half-chains of normal scores are here what they were: with S equal ranks spread over both chains."""
    one = np.array([1.0, 4.0, 5.0, 8.0])
    other = np.array([2.0, 3.0, 6.0, 7.0])
    scores = stats.norm.ppf((np.stack([one[:2], other[:2], one[2:], other[2:]]) - 0.375) / 8.25)
    within, between = scores.var(axis=1, ddof=1).mean(), scores.mean(axis=1).var(ddof=1)
    assert split_rhat(np.stack([one, other])) >= np.sqrt(0.5 + between / within) - 1e-12


def test_constant_chains_have_mixed_and_numbers_that_are_none_say_so():
    constant = np.full((3, 10), 2.0)
    assert split_rhat(constant) == 1.0
    assert effective_size(constant) == 30
    constant[1, 4] = np.nan
    assert np.isnan(split_rhat(constant))
    assert np.isnan(effective_size(constant))
    assert split_rhat(np.repeat([[1.0], [2.0]], 8, axis=1)) == np.inf, "each chain stays where it is"


def test_too_few_draws_are_refused():
    with pytest.raises(UsageError, match="draws of each chain=3 must be a whole number of at least 4"):
        split_rhat(np.ones((4, 3)))
