"""What ``landscape init`` writes runs as it is, and is measured with no warning."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from landscape.errors import UsageError
from landscape.problems.starting_file import starting_file
from landscape.store import load_results


def run(folder, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
def test_the_file_trains_and_is_analysed_with_the_commands_it_prints(tmp_path):
    made = run(tmp_path, "-m", "landscape", "init", "mine")
    assert made.returncode == 0, made.stderr
    trained = run(tmp_path, "mine.py")
    assert trained.returncode == 0, trained.stderr
    command = trained.stdout.splitlines()[-1].removeprefix("now: landscape ").split()
    measured = run(tmp_path, "-m", "landscape", *command)
    assert measured.returncode == 0, measured.stderr
    assert "as training saved it" not in measured.stdout  # the data of the training are those of the analysis
    results = load_results(tmp_path / "checkpoints" / "mine")
    assert [run.name for run in results.runs] == ["adam-s0", "adam-s1", "sgd-s0", "sgd-s1"]
    assert all(run.last.records["test"].accuracy > 0.8 for run in results.runs)
    assert (tmp_path / "checkpoints" / "mine" / "tables" / "confusion.csv").exists()


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    (tmp_path / "mine.py").write_text("precious")
    refused = run(tmp_path, "-m", "landscape", "init", "mine.py")
    assert refused.returncode == 2
    assert refused.stderr.startswith("landscape: mine.py is there already; nothing was written")
    assert (tmp_path / "mine.py").read_text() == "precious"


@pytest.mark.parametrize("name", ["my-problem", "2nd", "class", "a/b", ""])
def test_a_name_that_no_module_can_have_is_refused(name):
    with pytest.raises(UsageError, match="no name of a Python module"):
        starting_file(name)
