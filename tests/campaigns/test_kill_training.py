"""Campaign: kill -9 at random moments of training; every file left opens, the resumed run ends as an unkilled one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from landscape.checkpoints import CheckpointDir, checkpoint_files, load_checkpoint
from landscape.training.run import LOCK

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
COMMAND = [
    sys.executable, str(SCRIPT), "--problem", "mlp-digits", "--problem-config", '{"hidden": [200, 200]}',
    "--optimizer", "adam", "--schedule", "cosine", "--epochs", "6", "--save-every", "1", "--threads", "1",
]  # fmt: skip
KILLS = 20


def start(out: Path) -> subprocess.Popen:
    return subprocess.Popen([*COMMAND, "--out", str(out), "--resume"], stdout=subprocess.DEVNULL)


def wait_for_progress(process: subprocess.Popen, out: Path) -> None:
    """Until the process has written something, so that the kill meets it at work and not while it loads torch."""
    before = set(out.iterdir()) if out.exists() else set()
    while process.poll() is None and (set(out.iterdir()) if out.exists() else set()) == before:
        time.sleep(0.005)


@pytest.mark.campaign
def test_training_killed_at_random_moments_ends_with_the_same_parameters(tmp_path):
    assert start(tmp_path / "whole").wait() == 0
    whole = CheckpointDir(tmp_path / "whole")
    rng, out = random.Random(0), tmp_path / "killed"
    kills = leftovers = 0
    while kills < KILLS:
        process = start(out)
        wait_for_progress(process, out)
        # One step with its checkpoint takes tens of milliseconds: the moment falls anywhere in it.
        time.sleep(rng.uniform(0, 0.1))
        if process.poll() is not None:
            break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        for file in checkpoint_files(out).values():
            load_checkpoint(file)  # verifies the hash over everything in it
        others = {path.name for path in out.iterdir() if path not in checkpoint_files(out).values()} - {LOCK}
        assert all(name.startswith(".step_") and name.endswith(".tmp") for name in others)
        leftovers += len(others)
    assert kills == KILLS, "the run was over before it could be killed often enough; give it more epochs"
    assert start(out).wait() == 0
    killed = CheckpointDir(out)
    assert killed.steps == whole.steps
    for file_a, file_b in zip(whole.files, killed.files, strict=True):
        a, b = load_checkpoint(file_a), load_checkpoint(file_b)
        assert (a.params_sha256, a.metrics) == (b.params_sha256, b.metrics)
    assert not list(out.glob(".step_*"))
    print(f"{kills} kills, {leftovers} half-written files left and ignored, {len(killed)} checkpoints all equal")
