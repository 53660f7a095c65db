"""What several processes find, to 1e-10 in float64 and 1e-5 in float32, and with the same bits on each."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.support.ranked import on_ranks
from tests.support.ranked_questions import QUESTIONS, answers

pytestmark = pytest.mark.slow
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
#: What differences of gradients are right to.
OF_DIFFERENCES = 1e-8


@pytest.fixture(scope="module", params=[torch.float64, torch.float32], ids=str)
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def one(dtype):
    return answers(list(QUESTIONS), dtype)


@pytest.fixture(scope="module", params=[1, 2, 3], ids="{} ranks".format)
def ranks(request, dtype):
    return on_ranks(request.param, "tests.support.ranked_questions:answers", list(QUESTIONS), dtype)


def test_numbers_are_those_of_one_process(ranks, one, dtype):
    wrong = {}
    for question, expected in one.items():
        for name, value in expected.items():
            tolerance = OF_DIFFERENCES if name.startswith("differences") else TOLERANCE[dtype]
            apart = np.abs(ranks[0][question][name] - value).max() / max(np.abs(value).max(), 1e-300)
            if not apart <= tolerance:
                wrong[question, name] = apart
    assert not wrong


def test_every_rank_has_the_same_bits(ranks):
    for other in ranks[1:]:
        for question, found in ranks[0].items():
            for name, value in found.items():
                assert np.array_equal(other[question][name], value), (question, name)
