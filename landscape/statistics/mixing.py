"""Whether Markov chains have mixed, and how many independent draws theirs are worth. ``C`` chains of ``T`` draws."""

from __future__ import annotations

import numpy as np
from scipy import special, stats

from landscape.checks import check_count

#: Fewest draws of a chain of which each half has a spread.
FEWEST = 4


def split_rhat(chains: np.ndarray) -> float:
    r"""How much the chains differ from each other, and early from late: R̂, which goes to 1 from above.

    Every chain is cut into halves, draws are replaced by normal scores of their ranks,
    :math:`z = \Phi^{-1}\bigl((r - 3/8)/(S + 1/4)\bigr)`, and the variance of all is held against that within the
    halves; the larger of that and of the same for distances from the median counts, which sees chains that differ in
    spread alone. At most 1.01 is recommended.

    Parameters
    ----------
    chains : (C, T) array
        At least 4 draws of each.

    Returns
    -------
    float
        1 where all draws are equal; NaN where one is not finite.

    References
    ----------
    Vehtari, Gelman, Simpson, Carpenter, Bürkner (2021), Bayesian Analysis 16(2), sections 4.1 and 4.2; section 4 for
    the 1.01.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((4, 500))
    >>> split_rhat(draws) < 1.01, split_rhat(draws + np.arange(4)[:, None]) > 1.3
    (True, True)
    """
    halves = _halves(chains)
    if not np.isfinite(halves).all():
        return float("nan")
    folded = np.abs(halves - np.median(halves))
    return max(_rhat(_normal_scores(halves)), _rhat(_normal_scores(folded)))


def effective_size(chains: np.ndarray) -> float:
    r"""So many independent draws would know the mean as well as these.

    :math:`C T / \tau` with the autocorrelation time :math:`\tau = -1 + 2 \sum_k P_k`, where
    :math:`P_k = \rho_{2k} + \rho_{2k+1}` are sums of neighbouring autocorrelations of the halved chains together, as
    long as they are positive, and made to fall. Chains of different means are worth few draws. The standard error of
    the mean is the standard deviation of the draws over its root.

    Parameters
    ----------
    chains : (C, T) array
        At least 4 draws of each.

    Returns
    -------
    float
        At most ``S·log10 S`` of S draws, which chains that swing to and fro may reach; S where all draws are equal; NaN
        where one is not finite.

    References
    ----------
    Geyer (1992), Practical Markov chain Monte Carlo, Statistical Science 7(4), section 3.3. Vehtari et al. (2021),
    Bayesian Analysis 16(2), eq. 10 to 13, for several chains.

    Examples
    --------
    >>> draws = np.random.default_rng(0).standard_normal((4, 500))
    >>> 1500 < effective_size(draws) < 2500
    True
    """
    halves = _halves(chains)
    if not np.isfinite(halves).all():
        return float("nan")
    length = halves.shape[1]
    within, total = _variances(halves)
    if total == 0:
        return float(halves.size)
    covariances = _autocovariances(halves).mean(0)
    correlations = 1 - (within - covariances * length / (length - 1)) / total
    correlations[0] = 1.0
    pairs = correlations[: length // 2 * 2].reshape(-1, 2).sum(1)
    ends = np.flatnonzero(pairs <= 0)
    pairs = np.minimum.accumulate(pairs[: ends[0]] if ends.size else pairs)
    time = max(2 * float(pairs.sum()) - 1, 1 / np.log10(max(halves.size, 11)))
    return float(halves.size / time)


def _halves(chains: np.ndarray) -> np.ndarray:
    """(2C, T // 2): the first and the second half of each chain; of an odd number the one in the middle is left out."""
    draws = np.atleast_2d(np.asarray(chains, dtype=float))
    check_count("draws of each chain", draws.shape[1], least=FEWEST)
    half = draws.shape[1] // 2
    return np.concatenate([draws[:, :half], draws[:, -half:]])


def _variances(chains: np.ndarray) -> tuple[float, float]:
    """Within chains, and of all by both within and between."""
    length = chains.shape[1]
    within = float(chains.var(axis=1, ddof=1).mean())
    between = float(chains.mean(axis=1).var(ddof=1))
    return within, (length - 1) / length * within + between


def _rhat(chains: np.ndarray) -> float:
    within, total = _variances(chains)
    if within == 0:
        return 1.0 if total == 0 else float("inf")
    return float(np.sqrt(total / within))


def _normal_scores(values: np.ndarray) -> np.ndarray:
    ranks = stats.rankdata(values, axis=None).reshape(values.shape)
    scores: np.ndarray = special.ndtri((ranks - 0.375) / (values.size + 0.25))
    return scores


def _autocovariances(chains: np.ndarray) -> np.ndarray:
    """(C, T), each sum divided by T."""
    length = chains.shape[1]
    centred = chains - chains.mean(axis=1, keepdims=True)
    size = 1 << (2 * length - 1).bit_length()  # zeros behind, so that the ends do not meet
    waves = np.fft.rfft(centred, size, axis=1)
    found: np.ndarray = np.fft.irfft(np.abs(waves) ** 2, size, axis=1)[:, :length] / length
    return found
