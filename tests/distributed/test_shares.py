"""Which chunks a rank evaluates, and what ranks hold against each other, without any process but this one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import landscape as ls
from landscape import distributed
from landscape.distributed.sums import _joined, _pieces
from landscape.objective.sharing import runs


@pytest.mark.parametrize(("count", "world"), list(itertools.product((1, 2, 3, 7, 40), (1, 2, 3, 8))))
def test_runs_follow_each_other_hold_every_chunk_and_leave_no_rank_empty_where_there_are_enough(count, world):
    weights = np.random.default_rng(count).uniform(0.1, 9.0, count).tolist()
    found = runs(weights, world)
    assert len(found) == world
    assert [index for first, last in found for index in range(first, last)] == list(range(count))
    assert min(last - first for first, last in found) >= (1 if count >= world else 0)
    assert found[0] != (0, 0)  # rank 0 chooses on a chunk of its own


def test_runs_are_of_about_equal_weight():
    weights = np.random.default_rng(0).uniform(1.0, 2.0, 400).tolist()
    held = [sum(weights[first:last]) for first, last in runs(weights, 8)]
    assert max(held) - min(held) <= 2 * max(weights)


@pytest.mark.parametrize("number", [0.0, 1.0, -np.pi, 1 / 3 * 1e-12, 2.5e30, 0.1 + 0.2, np.inf, -np.inf])
def test_a_double_passes_through_three_numbers_of_float32_unchanged(number):
    pieces = torch.tensor(_pieces(number), dtype=torch.float32)
    assert _joined(pieces.double().tolist()) == number


def test_not_a_number_stays_one():
    assert np.isnan(_joined(_pieces(float("nan"))))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_last_bit_of_one_entry_changes_a_checksum(dtype):
    v = torch.randn(1000, generator=torch.Generator().manual_seed(0)).to(dtype)
    w = v.clone()
    w[500] = torch.nextafter(v[500], torch.tensor(9.0, dtype=dtype))
    assert distributed.checksum([v]) == distributed.checksum([v.clone()])
    assert distributed.checksum([v]) != distributed.checksum([w])
    assert distributed.checksum([v, w]) != distributed.checksum([w, v])


def test_a_process_by_itself_shares_nothing_and_meets_nobody():
    with torch.random.fork_rng():
        model = torch.nn.Linear(2, 1)
    objective = ls.Objective(model, torch.nn.functional.mse_loss, (torch.eye(2), torch.ones(2, 1)))
    assert objective.sums is None
    assert distributed.current() is None
    assert distributed.is_first()
    assert distributed.agreed(3, "a choice") == 3
    assert distributed.by_first(lambda: 4, "a choice") == 4
    with pytest.raises(KeyError):
        distributed.together(KeyError("seen"), "an error")


def test_an_object_of_rank_0_is_the_object_itself_in_a_process_by_itself():
    thing = object()
    assert distributed.of_first(lambda: thing) is thing
