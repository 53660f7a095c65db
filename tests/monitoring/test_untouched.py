"""A training that is watched and saved is the training that is not, to the last bit."""

from __future__ import annotations

import random
import warnings
from contextlib import ExitStack

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from tests.support.loops import OPTIMIZERS, ByHand, everything_of, small_data, small_model, take_step


def trained(name, steps=30, around=None):
    """All that is left after some steps; ``around(model, optimizer, stack)`` gives what is called after each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = small_model()
        optimizer = OPTIMIZERS[name](model.parameters())
        with ExitStack() as stack:
            after = around(model, optimizer, stack) if around else lambda step, loss: None
            for step in range(1, steps + 1):
                after(step, take_step(model, optimizer))
        return everything_of(model, optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_a_monitor(name, tmp_path):
    found = []

    def around(model, optimizer, stack):
        clock = ByHand()
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*small_data()), 16, shuffle=True)
        monitor = stack.enter_context(
            ls.Monitor(
                model, F.cross_entropy, loader, optimizer=optimizer, out=tmp_path / "m", clock=clock, log=found.append
            )
        )

        def after(step, loss):
            clock.now += 1.0
            monitor.step()

        return after

    assert trained(name) == trained(name, around=around)
    assert len(found) >= 10
    assert "landscape/critical_sharpness" in found[0]
    assert "landscape/lambda_max" in found[0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_with_a_writer(name, tmp_path):
    def around(model, optimizer, stack):
        average = torch.optim.swa_utils.AveragedModel(model)
        writer = stack.enter_context(
            ls.CheckpointWriter(
                tmp_path / "run", model, every=4, last=3, losses=1.2, optimizer=optimizer, ema=average, signals=()
            )
        )

        def after(step, loss):
            average.update_parameters(model)
            writer.step(loss=loss)

        return after

    assert trained(name) == trained(name, around=around)
    assert len(ls.CheckpointDir(tmp_path / "run")) >= 9


class Noisy(torch.utils.data.Dataset):
    """Each look at an example draws from all three generators."""

    def __len__(self):
        return 40

    def __getitem__(self, index):
        x = torch.randn(6) + random.random() + np.random.rand()  # noqa: NPY002
        return x, index % 3


def test_reading_data_moves_no_generator():
    before = (str(random.getstate()), str(np.random.get_state()), torch.get_rng_state())  # noqa: NPY002
    for data in (Noisy(), torch.utils.data.DataLoader(Noisy(), 8, shuffle=True)):
        monitor = ls.Monitor(small_model(), F.cross_entropy, data, subset=10)
        assert monitor.objective.num_examples == 10
        assert monitor.objective.drawn_from == 40
    after = (str(random.getstate()), str(np.random.get_state()), torch.get_rng_state())  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_of_large_data_only_the_subset_is_read():
    class Counted(Noisy):
        looks = 0

        def __len__(self):
            return 10_000_000

        def __getitem__(self, index):
            Counted.looks += 1
            return super().__getitem__(index)

    monitor = ls.Monitor(small_model(), F.cross_entropy, Counted(), subset=12)
    assert Counted.looks == 12
    assert monitor.objective.drawn_from == 10_000_000


def test_the_subset_is_that_of_the_seed():
    x, y = small_data()

    def rows(seed):
        return ls.Monitor(small_model(), F.cross_entropy, (x, y), subset=9, seed=seed).objective.batches.joined[0]

    assert torch.equal(rows(3), rows(3))
    assert not torch.equal(rows(3), rows(4))
    whole = ls.Objective(small_model(), F.cross_entropy, (x, y))
    assert torch.equal(ls.Monitor(whole, subset=9, seed=3).objective.batches.joined[0], rows(3))


def test_a_stream_without_a_length_gives_its_first_batches():
    x, y = small_data()
    batches = [(x[i : i + 8], y[i : i + 8]) for i in range(0, 40, 8)]
    monitor = ls.Monitor(small_model(), F.cross_entropy, iter(batches), subset=20)
    assert monitor.objective.num_examples == 24
    assert torch.equal(monitor.objective.batches.joined[0], x[:24])


def test_what_cannot_be_measured_is_said_once_and_training_goes_on():
    model, clock = small_model(), ByHand()
    monitor = ls.Monitor(model, F.cross_entropy, small_data(), measures=["trace", _fails], clock=clock)
    clock.now += 1.0
    with pytest.warns(RuntimeWarning, match="_fails could not be measured at step 1: ZeroDivisionError"):
        monitor.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clock.now += 1.0
        found = monitor.step()
    assert "landscape/trace" in found
    with torch.no_grad():
        model[0].weight.fill_(float("nan"))
    clock.now += 1.0
    found = monitor.step()
    assert found["landscape/loss"] != found["landscape/loss"]
    assert "landscape/trace" not in found


def _fails(objective):
    return 1 / 0
