"""What the README shows works: its Python runs, its commands exit 0, its names and numbers exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import landscape as ls
from tests.support.runs import SMALL, make_runs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A folder with the names of the demo's runs, small."""
    folder = make_runs(tmp_path_factory.mktemp("readme") / "demo")
    ls.analyze(folder, SMALL)
    return folder


def test_the_python_examples_run_in_order(demo):
    scope: dict[str, object] = {}
    assert blocks("python")
    with torch.random.fork_rng():
        for block in blocks("python"):
            exec(compile(block.replace("checkpoints/demo", str(demo)), "README.md", "exec"), scope)
    problem = scope["problem"]
    assert problem.objective(problem.make_model(0)).num_examples == 200


@pytest.mark.slow
def test_the_commands_shown_run(demo):
    lines = [line for block in blocks("console") for line in block.splitlines() if line.startswith("$ landscape ")]
    assert len(lines) >= 4
    for line in lines:
        words = shlex.split(line.removeprefix("$ landscape ").replace("checkpoints/demo", str(demo)))
        words = [re.sub(r"step_\d+", "step_00000003", word) for word in words]
        if words[0] == "analyze":
            words += ["--plan", "quick", "--points", "5", "--plane-points", "5", "--workers", "1"]
        run = subprocess.run([sys.executable, "-m", "landscape", *words], capture_output=True, text=True)
        assert run.returncode == 0, f"{line}: {run.stderr}"


def test_what_the_page_on_the_results_file_shows_runs(demo, capsys):
    text = (ROOT / "docs" / "results-format.md").read_text()
    (snippet,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(snippet.replace("checkpoints/demo", str(demo)), "results-format.md", "exec"), {})
    (run,) = (run for run in ls.load_results(demo).runs if run.name == "adam-s0")
    eigs = run.checkpoints[-1].records["eigenpairs"]
    assert capsys.readouterr().out.strip() == f"{eigs.values} {eigs.reason}"


def test_make_knows_the_two_commands():
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)


def test_every_file_linked_exists():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


def test_every_function_of_the_table_exists():
    for name in re.findall(r"`ls\.(\w+)", README):
        assert hasattr(ls, name), name
