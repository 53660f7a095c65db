"""By how much rounding turns products away from those of the matrix that is meant, measured on a few examples.

The products of a float32 model differ from the exact ones by far more than eps: softmax subtracts numbers near 1 from
1, sums run over thousands of terms. Most of that is the same in every product, so that no residual shows it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from landscape.device import widened
from landscape.errors import LandscapeError
from landscape.objective import Objective
from landscape.objective.derivatives import in_double
from landscape.operators.base import LinearOperator

if TYPE_CHECKING:
    from landscape.operators.parametric import ParametricOperator

#: Examples of a measurement: a share of the data, so that it costs about a third of a product.
_SHARE, _FEWEST, _MOST = 32, 4, 32
#: In units of resolution·‖H‖, where nothing can be measured: what LeNet-5 has in float32, or more.
UNMEASURED = 128.0
#: In the same units, the least where something is: sums over all examples round too, of which a few show nothing, nor
#: does float64 of a model that computes in float32 inside. 4 to 7 have been seen where less was measured.
LEAST = 8.0


def rounding_on(
    H: LinearOperator, values: np.ndarray, vectors: Tensor, *, seed: int, resolution: float | None = None
) -> float:
    """Root mean square of ``‖Eu‖`` over eigenvectors (P, K) with values (K,), E what rounding adds to the operator.

    One vector is multiplied, the sum of all with random signs: the mean of ``‖E Σ sᵢuᵢ‖²`` over signs is ``Σ ‖Euᵢ‖²``.
    By Weyl's inequality an eigenvalue moves by ``‖E‖`` at most; measured is E on few examples, where it is larger than
    on all of them: docs/accuracy.md has both. Never less than 8 resolution·‖H‖.
    """
    if vectors.shape[1] == 0:
        return 0.0
    signs = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, 0))).choice([-1.0, 1.0], len(values))
    combined = vectors @ torch.as_tensor(signs).to(vectors) / len(values) ** 0.5
    error = H.product_error(combined, seed=seed)
    if error is None:
        return UNMEASURED * (resolution or H.resolution) * float(np.abs(values).max())
    measured, scale = float(torch.linalg.vector_norm(error)), float(np.abs(values).max())
    return max(measured, LEAST * (resolution or H.resolution) * scale) if measured > 0 else 0.0


def on_few_examples(H: ParametricOperator, v: Tensor, *, seed: int) -> Tensor | None:
    """``(H₃₂ − H₆₄)v`` on a few examples drawn at random, float64 (P,); None where one of them cannot be had."""
    if H.dtype != torch.float32:
        return None
    few = _few(H.objective, seed)
    if few is None:
        return None
    try:
        double = in_double(few)
        if double is None:
            return None
        seen = H._plainly(few, H.theta) @ v
        exact = H._plainly(double, widened(H.theta)) @ widened(v)
    except (RuntimeError, TypeError, LandscapeError):  # a model with kernels of float32 alone; or no memory for it
        return None
    error = widened(seen) - exact
    return error if bool(error.isfinite().all()) else None


def _few(objective: Objective, seed: int) -> Objective | None:
    """The same loss on a few examples; None where single examples cannot be picked."""
    if not objective.can_pick:
        return None
    total = objective.num_examples
    count = min(total, max(_FEWEST, min(_MOST, total // _SHARE)))
    drawn = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(4, 1))).choice(total, count, replace=False)
    try:
        return objective.subset(np.sort(drawn))
    except LandscapeError:  # none of them has a weight
        return objective.on_first(count)
