"""Products in blocks are those one by one; the scale of a matrix and the place of a NaN are read from them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import LandscapeError
from landscape.estimators import trace
from landscape.estimators.matvecs import Matvecs
from landscape.operators import MatrixOperator
from tests.support.spectra import SPECTRA, with_spectrum


class Counting(MatrixOperator):
    """Remembers the widths of the blocks it was given."""

    def __init__(self, matrix):
        super().__init__(matrix)
        self.widths = []

    def _matmat(self, V):
        self.widths.append(V.shape[1])
        return super()._matmat(V)


def test_blocks_are_at_most_sixteen_columns_wide_and_equal_single_products():
    H = Counting(with_spectrum(SPECTRA["decaying"]).dense())
    V = torch.as_tensor(np.random.default_rng(0).standard_normal((60, 37)))
    matvecs = Matvecs(H, 100)
    torch.testing.assert_close(matvecs.block(V), H.dense() @ V, rtol=0, atol=1e-13)
    assert H.widths[:3] == [16, 16, 5]
    assert matvecs.done == 37
    ratio = torch.linalg.vector_norm(H.dense() @ V, dim=0) / torch.linalg.vector_norm(V, dim=0)
    assert matvecs.scale == pytest.approx(float(ratio.max()))
    assert matvecs.block(V[:, :0]).shape == (60, 0)
    assert matvecs.done == 37


def test_nan_in_one_column_of_a_block_names_the_matvec():
    class Broken(MatrixOperator):
        def _matmat(self, V):
            out = super()._matmat(V)
            out[3, 4] = torch.nan
            return out

    with pytest.raises(LandscapeError, match="matvec 5 gave NaN or Inf in 1 of 60 entries"):
        trace(Broken(with_spectrum(SPECTRA["flat"]).dense()), method="hutchinson", num_probes=8)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_a_block_survives_float32(scale):
    matvecs = Matvecs(MatrixOperator(torch.eye(20, dtype=torch.float32) * scale), 9)
    matvecs.block(torch.ones(20, 3) * 1e-5)
    assert matvecs.scale == pytest.approx(scale, rel=1e-5)
