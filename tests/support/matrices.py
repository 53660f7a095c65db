"""Symmetric matrices drawn at random."""

from __future__ import annotations

import numpy as np


def symmetric(dim: int, seed: int = 0) -> np.ndarray:
    a = np.random.default_rng(seed).standard_normal((dim, dim))
    return (a + a.T) / 2
