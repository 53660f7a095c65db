"""scripts/train.py as a module, a small problem for it, and all that a run says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from landscape.checkpoints import CheckpointDir
from landscape.problems import Problem, get_problem

SCRIPT = Path(__file__).parents[2] / "scripts" / "train.py"
SPEC = importlib.util.spec_from_file_location("train_script", SCRIPT)
script = importlib.util.module_from_spec(SPEC)
sys.modules["train_script"] = script
SPEC.loader.exec_module(script)

SMALL = ["--problem", "mlp-digits", "--problem-config", '{"hidden": [6], "num_train": 50}', "--batch-size", "16"]


def run(out: Path, *arguments: str) -> int:
    return script.main([*SMALL, "--out", str(out), "--threads", "1", *arguments])


def small() -> Problem:
    return get_problem("mlp-digits", {"hidden": [6], "num_train": 50})


def everything(folder: Path) -> list[str]:
    """All that a run says, but for the time at which it was written."""
    checkpoints = list(CheckpointDir(folder))
    facts = ("step", "metrics", "config", "params_sha256", "optimizer", "lr", "seed")
    return [
        repr(([getattr(c, fact) for fact in facts], c.optimizer_state(), c.scheduler_state(), c.resume_state()))
        for c in checkpoints
    ]
