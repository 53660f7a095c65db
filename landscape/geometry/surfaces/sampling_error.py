"""The mean over all examples from the means of groups of drawn ones, and how far it may be off anywhere on a grid."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

#: Draws of the multiplier bootstrap, and of which share of them the largest error is covered.
_DRAWS, _LEVEL = 2000, 0.95
#: By how much that is stated larger, where few examples carry what changes and groups are not normal (measured).
_CAUTION = 1.1
#: Known means that differ by no more than this between groups, relative to themselves, say nothing.
_SPREAD = 1e-5


@dataclass(frozen=True)
class FromGroups:
    """What groups say of the mean of all.

    Attributes
    ----------
    mean : (M,) array
        At each point of the grid.
    residuals : (G, M) array
        With standard normal factors for the groups, their sum is as far from zero as ``mean`` is from the truth.
    degrees : int
        Of freedom of that spread.
    """

    mean: np.ndarray
    residuals: np.ndarray
    degrees: int


def from_groups(groups: np.ndarray, known: dict[int, float], *, share: float) -> FromGroups:
    """A regression estimator: what groups say at points where the mean of all is known corrects them everywhere.

    Parameters
    ----------
    groups : (G, M) array
        Means of G groups of equal size, drawn alike.
    known : dict from int to float
        The mean of all at some of the M points; there the result is exact, without an error.
    share : float
        Of all, how many were drawn.

    Notes
    -----
    Slopes are those of least squares over groups, whose bias is of the order 1/G of the error. The result is held
    within the smallest and the largest group, so that a loss stays positive.

    References
    ----------
    Cochran (1977), Sampling Techniques, 3rd ed., sections 7.3 and 7.9. Mahalanobis (1946), J. Roy. Stat. Soc. 109, for
    groups that are samples by themselves.
    """
    count, mean = len(groups), groups.mean(0)
    places = list(known)
    apart, of_known = groups - mean, groups[:, places] - mean[places]
    scale = np.abs(groups[:, places]).max(0, initial=0.0)
    useful = np.abs(of_known).max(0, initial=0.0) > _SPREAD * scale
    places = [place for place, one in zip(places, useful, strict=True) if one]
    of_known = of_known[:, useful]
    slopes, _, rank, _ = np.linalg.lstsq(of_known, apart, rcond=1e-6)
    off = np.array([known[place] for place in places]) - mean[places]
    corrected = np.clip(mean + off @ slopes, groups.min(0), groups.max(0))
    degrees = count - 1 - int(rank)
    scale_of_error = np.sqrt((1 - share) * (1 + rank / count) / (count * degrees))
    residuals = scale_of_error * (apart - of_known @ slopes)
    for place, value in known.items():
        corrected[place], residuals[:, place] = value, 0.0
    return FromGroups(corrected, residuals, degrees)


def largest_errors(found: FromGroups, values: np.ndarray, *, seed: int = 0) -> tuple[float, float]:
    """95 % bounds for the largest error on the grid, and for the largest of the log₁₀ of ``values`` (M,).

    The largest of |Σ zᵢ residualsᵢ|/s over the grid, z standard normal and s² a χ² over its degrees of freedom, for
    the spread that is only known from groups.

    References
    ----------
    Chernozhukov, Chetverikov & Kato (2013), Annals of Statistics 41(6), for the largest of many means.
    """
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((_DRAWS, len(found.residuals)))
    # Not at random, but all quantiles of 1/s in an order of their own: nothing of the tail is left to chance.
    quantiles = special.chdtri(found.degrees, (np.arange(_DRAWS) + 0.5) / _DRAWS) / found.degrees
    s = np.sqrt(rng.permutation(quantiles))
    errors = _CAUTION * np.abs(z @ found.residuals) / s[:, None]
    with np.errstate(all="ignore"):
        shares = (errors / np.abs(values)).max(1)
    return float(np.quantile(errors.max(1), _LEVEL)), float(np.log10(1 + np.quantile(shares, _LEVEL)))
