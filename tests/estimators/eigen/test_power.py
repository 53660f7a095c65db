"""Power iteration converges at the rate of the theory, at both ends, and says so where it has not."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.estimators import top_eigenpairs
from tests.support.eigenproblems import WHICH, exact, true_residuals
from tests.support.spectra import with_spectrum


def test_a_rayleigh_quotient_that_stopped_moving_is_not_convergence():
    """Two eigenvalues 0.1 % apart: the quotient moves by less than 1e-6 a step long before the vector has turned."""
    H = with_spectrum(np.r_[1.0, 0.999, np.linspace(0, 0.3, 58)])
    eigs = top_eigenpairs(H, 1, method="power", tol=1e-6, max_matvecs=60, strict=False)
    before = top_eigenpairs(H, 1, method="power", tol=1e-6, max_matvecs=59, strict=False)
    assert abs(eigs.values[0] - before.values[0]) < 2e-6
    assert not eigs.converged.any()
    assert eigs.residuals[0] > 1e-6


def test_power_iteration_on_a_tie_of_signs_says_so():
    H = with_spectrum(np.r_[3.0, -3.0, np.linspace(-1, 1, 40)])
    eigs = top_eigenpairs(H, 1, method="power", strict=False, max_matvecs=200)
    assert not eigs.converged.any()
    assert "tied at about -3 and 3" in eigs.reason
    assert "lanczos" in eigs.reason
    np.testing.assert_allclose(top_eigenpairs(H, 1, which="both").values, [3, -3], atol=1e-5)


@pytest.mark.parametrize("shift", [0.0, -10.0])
def test_power_iteration_finds_both_ends_whichever_dominates(shift):
    values = np.r_[8.0, 6.0, 4.0, np.linspace(-0.5, 0.5, 40), -3.0, -5.0] + shift
    H = with_spectrum(values)
    for which in WHICH:
        eigs = top_eigenpairs(H, 2, which=which, method="power", max_matvecs=3000)
        assert (np.abs(eigs.values - exact(H, 2, which)) <= eigs.residuals).all()
        np.testing.assert_allclose(eigs.vectors.T @ eigs.vectors, np.eye(len(eigs)), atol=1e-12)
        np.testing.assert_allclose(eigs.residuals, true_residuals(H, eigs), rtol=1e-6)


def test_power_iteration_sharpens_earlier_pairs_where_they_disturb_later_ones():
    """λ₁ = 10⁴ is done at a residual of 10, which alone would keep the residual of λ₂ = 1 above 10⁻³ for ever."""
    H = with_spectrum(np.r_[1e4, 1.0, 0.5, np.linspace(0, 0.2, 40)])
    eigs = top_eigenpairs(H, 2, method="power", max_matvecs=300)
    np.testing.assert_allclose(eigs.values, [1e4, 1.0], rtol=1e-5)


def test_power_iteration_converges_at_the_rate_of_the_theory():
    """The residual falls by |λ₂/λ₁| per matvec; Lanczos needs far fewer on the same matrix."""
    ratio = 0.9
    H = with_spectrum(np.r_[1.0, ratio, np.linspace(0, 0.3, 60)])
    counts = [top_eigenpairs(H, 1, method="power", tol=tol, max_matvecs=1000).num_matvecs for tol in (1e-4, 1e-8)]
    assert counts[1] - counts[0] == pytest.approx(4 * np.log(10) / -np.log(ratio), abs=1.5)
    assert top_eigenpairs(H, 1, tol=1e-8).num_matvecs < counts[1] / 4
