"""Spectra of 300 eigenvalues for densities."""

from __future__ import annotations

import numpy as np
from scipy import stats

BULK = stats.laplace.ppf((np.arange(290) + 0.5) / 290) * 0.3
SPECTRA = {
    "outliers and bulk": np.r_[np.linspace(5, 50, 10), BULK],
    "decaying": np.arange(1, 301) ** -1.5,
    "low rank": np.r_[np.linspace(1, 10, 20), np.zeros(280)],
}
