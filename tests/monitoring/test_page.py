"""What docs/training_loop.md shows works."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import landscape as ls

PAGE = (Path(__file__).parents[2] / "docs" / "training_loop.md").read_text()


def the_loop() -> str:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    return block


def test_the_loop_runs_and_leaves_what_it_says(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    with torch.random.fork_rng(devices=[]):
        exec(compile(the_loop(), "training_loop.md", "exec"), scope)
    assert ls.CheckpointDir("runs/a").steps == (20, 40, 48, 49, 50)
    (run,) = ls.load_results("runs/a-watched").runs
    assert run.checkpoints[-1].step == 50
    assert run.info["of_examples"] == 200
    assert "landscape/lambda_max" in capsys.readouterr().out


def test_the_lines_for_other_tools_are_python_and_take_what_is_logged():
    """MLflow and TensorBoard stand in for themselves: they take numbers by name, and a step."""
    lines = dict(re.findall(r"^\| (MLflow|TensorBoard) \| `(.*?)` \|$", PAGE, flags=re.MULTILINE))
    got: list[object] = []

    class StandIn:
        def log_metrics(self, metrics, step):
            got.append((metrics, step))

        def add_scalar(self, name, value, step):
            got.append((name, value, step))

    found = {"step": 3, "landscape/trace": 2.5}
    for line in lines.values():
        eval(line, {"mlflow": StandIn(), "board": StandIn()})(found)
    assert got == [(found, 3), ("step", 3, 3), ("landscape/trace", 2.5, 3)]


def test_every_key_on_the_page_is_one_that_is_handed_out_and_the_page_is_short():
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(4, 2)
        x = torch.randn(10, 4)
    found = ls.Monitor(model, torch.nn.functional.mse_loss, (x, x[:, :2])).measure()
    section = PAGE.split("## What is measured")[1].split("A function of your own")[0]
    named = set(re.findall(r"`([a-z]+(?:_[a-z]+)*)`", section)) - {"seed"}
    handed = {name.removeprefix("landscape/") for name in found} - {"step"}
    assert handed <= named
    assert named - handed == {"share"}  # of which there is none before the first step
    assert len(PAGE.splitlines()) <= 80
