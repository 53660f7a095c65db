"""The script for the day a GPU can be had, on the CPU: it judges, it stops in time, and it goes on where it stopped."""

from __future__ import annotations

import json

import pytest
import torch

from benchmarks import device


def run(out, *more):
    arguments = ["--device", "cpu", "--size", "tiny", "--cases", "mlp", "--routes", "fresh", "auto", "--out", str(out)]
    with torch.random.fork_rng(devices=[]):
        return device.main([*arguments, *more])


@pytest.mark.slow
def test_it_stops_in_time_goes_on_and_measures_nothing_twice(tmp_path, capsys):
    out = tmp_path / "DEVICE.md"
    assert run(out, "--minutes", "0") == 0
    assert out.read_text().count("not measured: no time") == 6
    assert run(out) == 0
    rows = json.loads(out.with_suffix(".json").read_text())["rows"]
    assert {name.partition(": ")[2] for name in rows} == {
        "loss and gradient", "product, fresh", "product, auto", "λ₁ and λ₂", "trace by 16 probes",
        "generators and settings",
    }  # fmt: skip
    assert all(row["values"]["differs"] is False for row in rows.values())
    capsys.readouterr()
    assert run(out) == 0
    assert capsys.readouterr().out == ""


def test_a_wrong_answer_is_named_and_is_the_exit_status(tmp_path, monkeypatch):
    out = tmp_path / "DEVICE.md"
    monkeypatch.setattr(device, "_rows", lambda pair, routes: [("loss and gradient", lambda: device._judged(3e-3))])
    assert run(out, "--routes") == 1
    assert "| mlp: loss and gradient | 3.0e-03 |  | **differs** |" in out.read_text()
    assert device._judged(float("nan"))["differs"]


def test_what_fails_is_a_line_of_the_page(tmp_path, monkeypatch):
    def broken():
        raise RuntimeError("no kernel image is available\nfor this device")

    out = tmp_path / "DEVICE.md"
    monkeypatch.setattr(device, "_rows", lambda pair, routes: [("loss and gradient", broken)])
    assert run(out, "--routes") == 0
    assert "RuntimeError: no kernel image is available |" in out.read_text()
