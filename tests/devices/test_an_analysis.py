"""A whole analysis, a monitored training and models with buffers, on the pretended device."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from tests.support.networks import make
from tests.support.on_both_sides import Side, assert_same
from tests.support.pretended_device import on_pretended_device
from tests.support.runs import SMALL, save_run


class InThisProcess:
    """An executor that does a job when it is handed over."""

    def submit(self, function, *args):
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def rows(folder):
    """Every number of an analysis, by run, step and name."""
    table = ls.load_results(folder).to_dataframe()
    return {(r.run, r.step, r.measure): (r.value, r.error) for r in table.itertuples()}


@pytest.mark.slow
@on_pretended_device
def test_a_whole_analysis_measures_what_it_does_on_the_cpu(device, tmp_path):
    found = {}
    for name, place in (("here", None), ("there", str(device))):
        folder = Path(tmp_path) / name
        for optimizer in ("adam", "sgd"):
            save_run(folder / f"{optimizer}-s0", optimizer=optimizer, seed=0)
        ls.analyze(folder, replace(SMALL, device=place), executor=InThisProcess())
        found[name] = rows(folder)
    assert found["here"].keys() == found["there"].keys()
    assert len(found["here"]) > 50
    for key, (value, error) in found["here"].items():
        other = found["there"][key][0]
        room = 1e-4 * abs(value) + 2 * (error if np.isfinite(error) else 0) + 1e-6
        assert abs(value - other) <= room or (np.isnan(value) and np.isnan(other)), (key, value, other, error)


@on_pretended_device
def test_a_monitored_training_is_the_same_training(device, tmp_path):
    def trained(watched):
        side = Side(device, torch.float32)
        model, (x, y) = side.model, side.data
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
        monitor, now = None, [0.0]  # seconds pass between steps alone
        if watched:
            names = ["lambda_max", "trace", "critical_sharpness"]
            monitor = ls.Monitor(
                model, F.cross_entropy, (x, y), measures=names, budget=0.9, optimizer=optimizer, out=tmp_path / "run",
                clock=lambda: now[0],
            )  # fmt: skip
        for _ in range(8):
            optimizer.zero_grad()
            F.cross_entropy(F.dropout(model(x), 0.2), y).backward()
            optimizer.step()
            now[0] += 1000.0
            if monitor is not None:
                monitor.step()
        if monitor is not None:
            monitor.close()
            assert monitor.last is not None
            assert np.isfinite(monitor.last["landscape/lambda_max"])
        return [p.detach().cpu() for p in model.parameters()]

    def from_the_seed(watched):
        with torch.random.fork_rng(devices=[device], device_type=device.type):
            torch.get_device_module(device).manual_seed_all(1)
            return trained(watched)

    for plain, watched in zip(from_the_seed(False), from_the_seed(True), strict=True):
        assert torch.equal(plain, watched)


def two_networks(place, kind="cnn"):
    made = []
    for seed in (0, 1):
        model, loss, batches = make(kind)
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.random.default_generator.manual_seed(seed)
            for p in model.parameters():
                p.add_(0.1 * torch.randn(p.shape, dtype=p.dtype))
        there = [tuple(t.to(place) for t in batch) for batch in batches]
        made.append(ls.Objective(model.to(place), loss, there))
    return made


@on_pretended_device
def test_statistics_of_batches_are_made_anew_there(device):
    def measured(place):
        a, b = two_networks(place)
        return [
            ls.interpolate(a, b, points=5, batch_statistics="recompute"),
            ls.merge(a, [a, b]),
            ls.repair(a, b),
            ls.align(a, a, b),
            ls.interpolate(a, ls.permuted_copy(b, ls.align(a, a, b)), points=5),
        ]

    assert_same(measured("cpu"), measured(device))


@on_pretended_device
def test_a_checkpoint_of_a_model_there_is_that_of_the_cpu(device, tmp_path):
    here, there = Side(torch.device("cpu")), Side(device)
    for name, side in (("here", here), ("there", there)):
        ls.save_checkpoint(tmp_path / name, side.trained.module.model, step=1, optimizer=side.optimizer)
    states = [ls.load_checkpoint(tmp_path / name / "step_00000001.h5") for name in ("here", "there")]
    assert states[0].params_sha256 == states[1].params_sha256
