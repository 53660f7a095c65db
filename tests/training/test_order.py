"""The order of the examples: each seen once per epoch, as its kind says, and resumed bit for bit."""

from __future__ import annotations

import shutil

import pytest
import torch

from landscape.checkpoints import CheckpointDir
from landscape.training import train
from landscape.training.order import BatchOrder, dealt, ranks
from tests.support.trainings import everything, small


def test_every_example_is_seen_once_per_epoch_in_an_order_of_its_own():
    order = BatchOrder(10, 4, epochs=3, seed=0)
    epochs = [torch.cat([order.next()[0] for _ in range(3)]).tolist() for _ in range(3)]
    assert order.total_steps == 9
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def epochs_of(order, count):
    """Rows of each epoch, as lists."""
    found = []
    for _ in range(count):
        rows = []
        while len(rows) < order.num_examples:
            rows += order.next()[0].tolist()
        found.append(rows)
    return found


def test_a_fixed_order_is_one_permutation_and_a_sorted_one_goes_by_rank():
    fixed = epochs_of(BatchOrder(20, 6, epochs=3, seed=1, kind="fixed"), 3)
    assert fixed[0] == fixed[1] == fixed[2] != sorted(fixed[0])
    labels = torch.tensor([2, 0, 1, 0, 2])
    assert epochs_of(BatchOrder(5, 2, epochs=2, seed=0, kind="sorted", ranks=labels), 2) == [[1, 3, 2, 0, 4]] * 2


def test_a_curriculum_begins_with_the_easy_and_ends_with_all():
    ranks = torch.arange(40).flip(0).double()  # row 39 is the easiest
    epochs = epochs_of(BatchOrder(40, 10, epochs=8, seed=0, kind="curriculum", ranks=ranks), 8)
    shares = [len(set(rows)) / 40 for rows in epochs]
    assert shares == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 1.0, 1.0])
    assert set(epochs[0]) == set(range(32, 40))
    assert all(sorted(rows) == list(range(40)) for rows in epochs[4:])


def test_unusual_examples_are_those_far_from_their_class():
    inputs = torch.tensor([[0.0], [0.1], [5.0], [10.0], [10.2], [14.0]])
    difficulty = ranks((inputs, torch.tensor([0, 0, 0, 1, 1, 1])), "curriculum")
    assert difficulty.topk(2).indices.sort().values.tolist() == [2, 5]
    numbers = ranks((inputs, inputs), "curriculum")
    assert int(numbers.argmax()) == 5


def test_a_batch_that_grows_and_shrinks_has_the_sizes_asked_for_and_sees_every_example():
    order = BatchOrder(64, 4, epochs=5, seed=0, schedule="grow-shrink", options={"factor": 4.0})
    assert [order.batch_size_in(epoch) for epoch in range(5)] == [4, 8, 16, 8, 4]
    assert order.total_steps == 16 + 8 + 4 + 8 + 16
    sizes = [len(order.next()[0]) for _ in range(order.total_steps)]
    assert sizes == [4] * 16 + [8] * 8 + [16] * 4 + [8] * 8 + [4] * 16
    assert order.epochs_after(20) == 1.5
    growing = BatchOrder(64, 4, epochs=3, seed=0, schedule="growing", options={"factor": 100.0})
    assert [growing.batch_size_in(epoch) for epoch in range(3)] == [4, 40, 64]


@pytest.mark.parametrize(
    "settings",
    [
        {"order": "curriculum"},
        {"order": "fixed"},
        {"order": "sorted"},
        {"batch_schedule": "grow-shrink"},
        {"order": "blocks", "order_options": {"blocks": 2, "first": 2}},
        {"adversary": "linf", "adversary_options": {"radius": 0.3, "steps": 2}},
        {"optimizer": "local-sgd", "options": {"clients": 3, "skew": 0.5}},
        {"optimizer": "decentralized-sgd", "options": {"clients": 3, "skew": 0.5}},
    ],
)
def test_any_order_goes_on_bit_for_bit(tmp_path, settings):
    train(small(), tmp_path / "whole", epochs=5, batch_size=8, save_every=4, **settings)
    shutil.copytree(tmp_path / "whole", tmp_path / "stopped")
    for file in CheckpointDir(tmp_path / "stopped").files[3:]:
        file.unlink()
    train(small(), tmp_path / "stopped", resume=True)
    assert everything(tmp_path / "stopped") == everything(tmp_path / "whole")


def test_clients_share_all_examples_evenly_and_skew_sets_their_classes_apart():
    labels = torch.arange(10).repeat(20)
    for skew, expected in ((0.0, 10), (1.0, 2)):
        parts = dealt(labels, 5, skew, seed=0)
        assert sorted(torch.cat(parts).tolist()) == list(range(200))
        assert [len(part) for part in parts] == [40] * 5
        classes = [len(labels[part].unique()) for part in parts]
        assert max(classes) == expected if skew else min(classes) >= 7


def test_blocks_come_one_after_another_beginning_with_the_first_that_is_named():
    order = BatchOrder(9, 2, epochs=5, seed=0, kind="blocks", options={"blocks": 3, "first": 2})
    assert [order.block_in(epoch) for epoch in range(5)] == [1, 1, 2, 2, 0]
    seen = [sorted(torch.cat([order.next()[0] for _ in range(2)]).tolist()) for _ in range(5)]
    assert seen == [[3, 4, 5]] * 2 + [[6, 7, 8]] * 2 + [[0, 1, 2]]
    assert (order.total_steps, order.changes) == (10, (4, 8))
    assert BatchOrder(9, 2, epochs=5, seed=0).changes == ()


def test_a_checkpoint_is_saved_where_another_block_begins(tmp_path):
    train(small(), tmp_path, epochs=4, batch_size=10, save_every=10**6, order="blocks", order_options={"blocks": 2})
    assert CheckpointDir(tmp_path).steps == (0, 6, 12)
