"""Surfaces of processes that are killed at random moments, again and again."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

_SCRIPT = """
import sys, time
import numpy as np, torch
from torch import nn
import landscape as ls
from landscape.files import ledger
ledger.EVERY = 0.1
kind, folder, out = sys.argv[1:]
torch.set_num_threads(1)
torch.manual_seed(0)

class Slow(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    def forward(self, x):
        if len(x) > 64:  # more than the curvature is of
            time.sleep(0.02)
            print("call", flush=True)
        return self.inner(x)

x = torch.randn(400, 5)
objective = ls.Objective(Slow(), nn.functional.cross_entropy, (x, x[:, :3].argmax(1)), check=False)
print("begun", flush=True)
how = {"tol": 0.01} if kind == "few" else {}
found = ls.evaluate_plane(objective, ls.random_plane(objective), points=11, metrics=("accuracy",),
                          resume=folder or None, **how)
np.savez(out, loss=found.loss, accuracy=found.metric("accuracy"), error=found.error, count=found.num_evaluations,
         errors=found.metric_error_values, curvature=found.curvature_slice)
"""


def _calls(kind: str, folder: Path | str, out: Path, seconds: float | None) -> tuple[int, bool]:
    """How often the network was called, and whether the process came to its end before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, kind, str(folder), str(out)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "begun\n":
            break
    if seconds is not None:
        time.sleep(seconds)
        process.kill()
    return process.stdout.read().count("call"), process.wait() == 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["full", "few"])
def test_a_surface_whose_process_is_killed_at_random_moments_ends_identical(kind, tmp_path):
    whole, _ = _calls(kind, "", tmp_path / "whole.npz", None)
    rng, calls = np.random.default_rng(0), []
    for _ in range(6):
        done, ended = _calls(kind, tmp_path, tmp_path / "found.npz", float(rng.uniform(0.2, 0.025 * whole / 2)))
        calls.append(done)
        if ended:
            break
    else:
        calls.append(_calls(kind, tmp_path, tmp_path / "found.npz", None)[0])
    assert len(calls) > 2
    found, exact = np.load(tmp_path / "found.npz"), np.load(tmp_path / "whole.npz")
    for name in exact:
        np.testing.assert_array_equal(found[name], exact[name], err_msg=name)
    # Of each process that was killed, a tenth of a second of calls at most, and the one that it was making.
    assert whole <= sum(calls) <= whole + len(calls) * (0.1 / 0.02 + 2)
