"""Two processes that measure one question, over gloo: the numbers of one process, one exchange for each."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.ranked import on_ranks
from tests.support.ranked_questions import few_answers

HEADER = 8  # numbers beside what is summed, for each rank


@pytest.fixture(scope="module")
def two():
    return on_ranks(2, "tests.support.ranked_questions:few_answers")


def test_each_holds_a_part_of_the_data(two):
    assert sum(rank["held"] for rank in two) == pytest.approx(1)
    assert min(rank["held"] for rank in two) > 0.3


def test_products_gradients_and_eigenvalues_are_those_of_one_process(two):
    expected = few_answers()["found"]
    for rank in two:
        for name, value in expected.items():
            assert np.abs(rank["found"][name] - value).max() <= 1e-10 * np.abs(value).max(), name


def test_both_have_the_same_bits(two):
    for name, value in two[0]["found"].items():
        assert np.array_equal(two[1]["found"][name], value), name


def test_a_gradient_a_product_and_a_block_are_one_exchange_each(two):
    size = two[0]["size"]
    gradient, product, block = two[0]["exchanged"]
    assert gradient.tolist() == product.tolist() == [1, 8 * (size + 2 * HEADER)]
    assert block.tolist() == [1, 8 * (5 * size + 2 * HEADER)]


def test_forward_mode_finds_no_tangent_in_a_sum_over_ranks(two):
    """Why no graph and no forward mode crosses one. If torch mends this, the tangent is 2."""
    assert [rank["tangent"] for rank in two] == [0, 0]


def test_data_parallel_is_taken_off_a_model_and_shards_are_gathered(two):
    plain, copied, gathered = two[0]["wrapped"]
    assert plain[0] == ["weight", "bias"]
    assert plain == copied == gathered
