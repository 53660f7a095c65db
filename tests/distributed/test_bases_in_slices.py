"""Bases of which each rank holds a slice: as orthonormal and as right as on one process, in so much less memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support import ranked_bases
from tests.support.ranked import on_ranks

pytestmark = pytest.mark.slow
PLACE = "tests.support.ranked_bases:"
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
#: The vectors that `spectrum` takes out of its trace are sums of runs, magnified up to a root of rounding.
OF_SUMS = {torch.float64: 1e-6, torch.float32: 1e-2}


@pytest.mark.parametrize(("world", "dtype"), [(2, torch.float64), (3, torch.float64), (2, torch.float32)])
def test_estimators_find_what_one_process_finds_and_the_same_bits_on_all_ranks(world, dtype):
    expected, ranks = ranked_bases.estimates(dtype), on_ranks(world, PLACE + "estimates", dtype)
    wrong = {}
    for name, value in expected.items():
        apart = np.abs(ranks[0][name] - value).max() / max(np.abs(value).max(), 1e-300)
        if not apart <= (OF_SUMS if name == "its trace" else TOLERANCE)[dtype]:
            wrong[name] = apart
        assert all(np.array_equal(rank[name], ranks[0][name]) for rank in ranks[1:]), name
    assert not wrong


@pytest.mark.parametrize(("world", "dtype"), [(1, torch.float64), (4, torch.float64), (2, torch.float32)])
def test_a_krylov_space_in_slices_is_orthonormal_and_a_factorisation_through_restarts(world, dtype):
    """AQ = QT + r eᵀ, QᵀQ = I and Qᵀr = 0, as tests/estimators/krylov has it of one process."""
    ranks = on_ranks(world, PLACE + "factorisation", dtype)
    eps = torch.finfo(dtype).eps
    for rank in ranks:
        assert rank["aslant"] <= 40 * eps
        assert rank["run aslant"] <= 40 * eps
        assert rank["residual aslant"] <= 40 * eps * rank["scale"]
        assert rank["defect"] <= 40 * eps * rank["scale"]
        assert all(np.array_equal(rank["bits"][name], bits) for name, bits in ranks[0]["bits"].items())
        assert rank["held"] <= -(-rank["size"] // world)
    assert sum(rank["held"] for rank in ranks) == ranks[0]["size"]


@pytest.mark.parametrize("world", [2, 3])
def test_operations_on_slices_are_those_on_whole_vectors(world):
    """Also of vectors shorter than there are ranks, of which some hold nothing, and of columns nearly the same."""
    one, (first, *others) = ranked_bases.algebra(), on_ranks(world, PLACE + "algebra")
    for name, value in one.items():
        assert all(np.array_equal(other[name], first[name]) for other in others), name
        if "basis" in name:
            value = np.eye(len(value))
        scale = max(np.abs(value).max(), 1e-300) if "again" not in name and "memory" not in name else 0.0
        scale = max(scale, 1.0) if name.split()[1] in ("product", "outside") else scale
        assert np.abs(first[name] - value).max() <= 1e-13 * scale, name


def test_a_projection_is_a_fixed_number_of_exchanges_whatever_the_number_of_vectors():
    ((few, many, step), _) = on_ranks(2, PLACE + "exchanges")
    assert few == many == 5  # a length, and twice the overlaps and the length that is left
    assert step == 2 + 2 + 5  # the vector whole, the product; its length before and after


def test_the_memory_of_a_basis_falls_with_the_number_of_ranks():
    """96 vectors of a million numbers: 398 MB on one process; products and a record take 25 to 60 besides."""
    alone, *_ = on_ranks(1, PLACE + "peak_of_a_basis", 2000, 96)
    ranks = on_ranks(2, PLACE + "peak_of_a_basis", 2000, 96)
    basis = 4 * 97 * alone["parameters"]
    assert alone["bytes"] >= 0.95 * basis
    for rank in ranks:
        assert rank["value"] == pytest.approx(alone["value"], rel=1e-4)
        assert rank["bytes"] <= alone["bytes"] - 0.3 * basis  # half of it, less what ranks take to exchange
