"""Campaign: kill -9 at random moments of a study; nothing of it lives on, and the resumed one ends the same."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from landscape.checkpoints import CheckpointDir
from tests.support.processes import alive, descendants

KILLS = 6
DESIGN = """
import sys
from landscape.study import Arm, Study, Tuning, run_study

if __name__ == "__main__":
    study = Study(
        name="killed", question="Does it end the same?", problem="mlp-digits",
        problem_config={"hidden": [30], "num_train": 300}, arms=(Arm("sgd"), Arm("adam", {"optimizer": "adam"})),
        seeds=(0, 1, 2), settings={"epochs": 20, "batch_size": 20, "save_every": 10},
        tuning=Tuning((0.3, 1.0), (100,)),
        plan={"plan": "quick", "last": 2, "trace_probes": 4, "density_probes": 2, "steps": 8, "points": 5,
              "plane_points": 5, "directions": 1, "samples": 2, "barriers": 1, "tol": 0.01, "examples": 64},
    )
    run_study(study, sys.argv[1], workers=2, say=lambda line: print(line, flush=True))
"""


def start(script: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, str(script), str(out)], stdout=subprocess.DEVNULL)


def wait_for_training(process: subprocess.Popen, out: Path) -> None:
    """Until a checkpoint more is there than before."""
    before = set(out.rglob("step_*.h5"))
    while process.poll() is None and set(out.rglob("step_*.h5")) == before:
        time.sleep(0.01)


@pytest.mark.campaign
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are looked up in /proc")
def test_a_study_killed_at_random_moments_leaves_no_process_and_ends_with_the_same_numbers(tmp_path):
    script = tmp_path / "design.py"
    script.write_text(DESIGN)
    began = time.perf_counter()
    assert start(script, tmp_path / "whole").wait() == 0
    whole_takes = time.perf_counter() - began
    rng, killed = random.Random(0), tmp_path / "killed"
    kills = met = 0
    for kill in range(KILLS):
        process = start(script, killed)
        if kill < KILLS // 2:  # while it trains, and then anywhere
            wait_for_training(process, killed)
            time.sleep(rng.uniform(0, 0.5))
        else:
            time.sleep(rng.uniform(0.2, 0.8) * whole_takes)
        if process.poll() is not None:
            break
        below = descendants(process.pid)
        met += len(below)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kills += 1
        deadline = time.perf_counter() + 30
        while alive(below) and time.perf_counter() < deadline:
            time.sleep(0.05)
        assert not alive(below), "processes of a study that was killed go on"
    assert kills >= 2, "the study was over before it could be killed; give it more epochs"
    assert met >= kills
    assert start(script, killed).wait() == 0
    for run in sorted((tmp_path / "whole" / "runs").glob("*-s*")):
        assert CheckpointDir(run)[-1].params_sha256 == CheckpointDir(killed / "runs" / run.name)[-1].params_sha256
    for name in ("means.csv", "matched.csv", "contrasts.csv"):
        one, two = (pd.read_csv(folder / "paper" / name) for folder in (tmp_path / "whole", killed))
        pd.testing.assert_frame_equal(one, two, rtol=1e-6)
