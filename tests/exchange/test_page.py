"""What docs/surfaces-elsewhere.md shows runs, in order, on files as that code writes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.results.base import Drawable
from tests.support import original_code

PAGE = (Path(__file__).parents[2] / "docs" / "surfaces-elsewhere.md").read_text()


def test_the_python_examples_run_in_order_and_both_tools_agree(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyevtk")
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double().eval()
        data = torch.randn(8, 2, dtype=torch.float64), torch.randn(8, 1, dtype=torch.float64)
        dx, dy = ([torch.randn_like(p) for p in model.parameters()] for _ in "xy")
    weights = [p.detach().clone() for p in model.parameters()]

    def at(x, y):
        with torch.no_grad():
            for p, w, a, b in zip(model.parameters(), weights, dx, dy, strict=True):
                p.copy_(w + x * a + y * b)
            return nn.functional.mse_loss(model(data[0]), data[1]).item(), 50.0

    grid = np.linspace(-1, 1, 51)
    original_code.directions(tmp_path / "resnet56_directions.h5", dx, dy)
    original_code.surface(tmp_path / "resnet56_surface.h5", at, grid, grid, dir_file="resnet56_directions.h5")
    at(0.0, 0.0)
    scope = {"model": model, "objective": ls.Objective(model, nn.functional.mse_loss, data)}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, "surfaces-elsewhere.md", "exec"), scope)
    again, surface = scope["again"], scope["surface"]
    assert np.abs(again.loss - surface.loss).max() <= again.error + 1e-9 * surface.loss.max()
    assert isinstance(scope["found"], Drawable)
    assert "basins" in capsys.readouterr().out


def test_every_function_named_exists():
    for name in set(re.findall(r"`?ls\.(\w+)", PAGE)):
        assert hasattr(ls, name), name
