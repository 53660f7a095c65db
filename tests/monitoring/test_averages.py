"""Averages are saved as what they evaluate as."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from pytorch_optimizer import ScheduleFreeAdamW, ScheduleFreeSGD

import landscape as ls
from tests.support.loops import OPTIMIZERS, everything_of, small_data, small_model, take_step


@pytest.fixture(autouse=True)
def _own_generator():
    with torch.random.fork_rng(devices=[]):
        yield


def loss_of(model):
    x, y = small_data()
    model.eval()
    with torch.no_grad():
        return F.cross_entropy(model(x), y).item()


def loss_at(checkpoint, model):
    checkpoint.load_into(model)
    return loss_of(model)


@pytest.mark.parametrize("use_buffers", [True, False])
def test_an_average_of_weights_is_a_run_of_its_own(tmp_path, use_buffers):
    model = small_model()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.9), use_buffers=use_buffers
    )
    with ls.CheckpointWriter(tmp_path / "a", model, every=5, optimizer=optimizer, ema=average, signals=()) as writer:
        for _ in range(10):
            take_step(model, optimizer)
            average.update_parameters(model)
            writer.step()
    last = ls.CheckpointDir(tmp_path / "a-ema")[-1]
    assert ls.CheckpointDir(tmp_path / "a-ema").steps == ls.CheckpointDir(tmp_path / "a").steps == (5, 10)
    assert loss_at(last, small_model()) == loss_of(average)
    assert loss_at(last, small_model()) != loss_of(model)
    assert (last.config["label"], last.config["average_of"]) == ("sgd-ema", "a")
    assert loss_at(ls.CheckpointDir(tmp_path / "a")[-1], small_model()) == loss_of(model)


@pytest.mark.parametrize("kind", [ScheduleFreeAdamW, ScheduleFreeSGD])
def test_a_schedule_free_optimizer_is_saved_where_it_evaluates_and_trains_on_as_before(tmp_path, kind):
    def run(folder):
        torch.manual_seed(0)
        model = small_model()
        optimizer = kind(model.parameters(), lr=0.05)
        optimizer.train()
        with ls.CheckpointWriter(folder, model, every=3, optimizer=optimizer, signals=()) as writer:
            for _ in range(9):
                take_step(model, optimizer)
                if folder.name == "saved":
                    writer.step()
        left = everything_of(model, optimizer)
        optimizer.eval()
        return left, loss_of(model)

    saved, evaluated = run(tmp_path / "saved")
    assert saved == run(tmp_path / "not")[0]
    checkpoint = ls.CheckpointDir(tmp_path / "saved")[-1]
    assert loss_at(checkpoint, small_model()) == evaluated
    assert checkpoint.optimizer_state()["param_groups"][0]["train_mode"] is False


def test_one_that_cannot_be_switched_is_warned_of(tmp_path):
    model = small_model()
    optimizer = OPTIMIZERS["momentum"](model.parameters())
    optimizer.param_groups[0]["train_mode"] = True
    with (
        pytest.warns(RuntimeWarning, match="SGD stands in its training mode and has no eval"),
        ls.CheckpointWriter(tmp_path / "a", model, every=1, optimizer=optimizer, signals=()) as writer,
    ):
        writer.step()


def test_what_is_no_module_is_refused(tmp_path):
    with pytest.raises(ls.UsageError, match="ema is a dict; pass a module"):
        ls.CheckpointWriter(tmp_path / "a", small_model(), ema={})
