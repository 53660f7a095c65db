"""Which states are saved, and that they are those of the training."""

from __future__ import annotations

import os
import signal
import threading

import numpy as np
import pytest
import torch

import landscape as ls
from tests.support.loops import OPTIMIZERS, small_model, take_step


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def loop(folder, steps, *, model=None, optimizer=None, seen=None, act=None, **options):
    """Train with a writer around; ``seen`` collects the flat parameters after each step."""
    model = model or small_model()
    optimizer = optimizer or OPTIMIZERS["adam"](model.parameters())
    with ls.CheckpointWriter(folder, model, optimizer=optimizer, **options) as writer:
        for step in range(1, steps + 1):
            loss = take_step(model, optimizer)
            if seen is not None:
                seen[step] = torch.cat([p.detach().reshape(-1).clone() for p in model.parameters()])
            if act is not None:
                act(step)
            writer.step(loss=loss)
    return writer


def flat(checkpoint):
    return torch.cat([tensor.reshape(-1) for tensor in checkpoint.params().values()])


def assert_these(folder, steps, seen):
    run = ls.CheckpointDir(folder)
    assert list(run.steps) == steps
    for checkpoint in run:
        assert torch.equal(flat(checkpoint), seen[checkpoint.step])


def test_every_so_many_and_the_last(tmp_path):
    seen = {}
    writer = loop(tmp_path / "a", 11, every=4, seen=seen)
    assert_these(tmp_path / "a", [4, 8, 11], seen)
    assert [file.name for file in writer.files] == ["step_00000004.h5", "step_00000008.h5", "step_00000011.h5"]


@pytest.mark.parametrize("total", [None, 11])
def test_the_last_steps(tmp_path, total):
    """Known beforehand or not, the same files hold the same."""
    seen = {}
    loop(tmp_path / "a", 11, every=5, last=4, total=total, seen=seen)
    assert_these(tmp_path / "a", [5, 8, 9, 10, 11], seen)


def test_a_state_held_in_memory_is_saved_as_it_would_have_been(tmp_path):
    """Parameters, buffers and the optimizer's state of a step, saved at once and saved at the end."""
    for folder, total in (("at-once", 6), ("at-the-end", None)):
        torch.manual_seed(0)
        loop(tmp_path / folder, 6, last=3, total=total, config={"seed": 1})
    for a, b in zip(ls.CheckpointDir(tmp_path / "at-once"), ls.CheckpointDir(tmp_path / "at-the-end"), strict=True):
        assert (a.step, a.params_sha256, a.config) == (b.step, b.params_sha256, b.config)
        assert repr(a.optimizer_state()) == repr(b.optimizer_state())
        assert repr(a.buffers()) == repr(b.buffers())


def test_an_error_goes_on_and_the_last_state_is_saved(tmp_path):
    def fail(step):
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path / "a", 20, last=2, act=fail)
    assert ls.CheckpointDir(tmp_path / "a").steps == (5, 6)
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["step_00000005.h5", "step_00000006.h5"]


def test_where_the_last_state_cannot_be_saved_the_error_of_the_loop_is_seen(tmp_path):
    def fail(step):
        if step == 3:
            (tmp_path / "a").rename(tmp_path / "gone")
            (tmp_path / "a").write_text("in the way")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), pytest.warns(RuntimeWarning, match="the last state was not saved"):
        loop(tmp_path / "a", 5, act=fail)


def test_a_signal_saves_at_the_next_step_and_is_given_back(tmp_path):
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        mine = signal.getsignal(signal.SIGUSR1)
        seen = {}
        writer = loop(
            tmp_path / "a", 9, seen=seen, act=lambda s: os.kill(os.getpid(), signal.SIGUSR1) if s == 3 else None
        )
        assert_these(tmp_path / "a", [3, 9], seen)
        assert writer.signal == signal.SIGUSR1
        assert heard == [signal.SIGUSR1]
        assert signal.getsignal(signal.SIGUSR1) is mine
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_in_another_thread_signals_are_left_alone(tmp_path):
    said = []

    def work():
        with pytest.warns(RuntimeWarning, match="signals reach the main thread alone"):
            loop(tmp_path / "a", 2)
        said.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert said == [True]
    assert ls.CheckpointDir(tmp_path / "a").steps == (2,)


def test_a_checkpoint_comes_whenever_the_loss_has_fallen_by_the_factor(tmp_path):
    """A loss that halves every five steps and a factor of two: saved five steps apart."""
    model = small_model()
    with ls.CheckpointWriter(tmp_path / "a", model, losses=2.0, loss_window=1, signals=()) as writer:
        for step in range(21):
            writer.step(step + 1, loss=2.0 ** (-step / 5))
    assert ls.CheckpointDir(tmp_path / "a").steps == (6, 11, 16, 21)


def test_the_losses_of_all_steps_are_the_history_of_the_run(tmp_path):
    model, given = small_model(), []
    with ls.CheckpointWriter(tmp_path / "a", model, every=3, signals=()) as writer:
        for step in range(8):
            given.append(1.0 / (step + 1))
            writer.step(loss=given[-1], metrics=lambda step=step: {"train_loss": float(step)})
    history = ls.CheckpointDir(tmp_path / "a").history()
    assert history["step"].tolist() == list(range(1, 9))
    assert history["loss"].tolist() == given
    assert [c.metrics.get("train_loss") for c in ls.CheckpointDir(tmp_path / "a")] == [2.0, 5.0, None]


def test_gradient_norms_are_in_the_history_where_they_were_given_at_every_step(tmp_path):
    with ls.CheckpointWriter(tmp_path / "a", small_model(), every=2, signals=()) as writer:
        for step in range(4):
            writer.step(loss=1.0, gradient_norm=float(step) if step != 2 else None)
    history = ls.CheckpointDir(tmp_path / "a").history()
    assert history["loss"].tolist() == [1.0] * 4
    np.testing.assert_array_equal(history["gradient_norm"], [0.0, 1.0, np.nan, np.nan])


def test_a_run_that_is_there_is_gone_on_with_or_refused(tmp_path):
    loop(tmp_path / "a", 4)
    with pytest.raises(ls.UsageError, match="already holds a run of 1 checkpoints up to step 4: pass step=4"):
        loop(tmp_path / "a", 4)
    loop(tmp_path / "a", 2, step=4)
    assert ls.CheckpointDir(tmp_path / "a").steps == (4, 6)
    loop(tmp_path / "a", 0, step=6)
    assert ls.CheckpointDir(tmp_path / "a").steps == (4, 6)


def test_one_writer_in_a_folder(tmp_path):
    with (
        ls.CheckpointWriter(tmp_path / "a", small_model(), signals=()),
        pytest.raises(ls.CheckpointError, match="is training into"),
        ls.CheckpointWriter(tmp_path / "a", small_model(), signals=()),
    ):
        pass
    with pytest.raises(ls.UsageError, match="not entered"):
        ls.CheckpointWriter(tmp_path / "a", small_model()).step()
    with pytest.raises(ls.UsageError, match="must be a factor of at least 1.01"):
        ls.CheckpointWriter(tmp_path / "a", small_model(), losses=1.001)
