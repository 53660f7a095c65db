"""The scripts of docs/scaling.md: read by a shell, and one of them run, by stand-ins for Slurm's commands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import landscape as ls
from landscape.jobs.settings import settings_of
from landscape.jobs.slurm import KNOWN
from tests.support.clusters import ENVIRONMENT
from tests.support.processes import wait_until
from tests.support.runs import save_run

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()
BLOCKS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
SCRIPTS = [block for block in BLOCKS if "#SBATCH" in block]


def test_a_shell_reads_every_script():
    assert len(BLOCKS) == 3
    assert len(SCRIPTS) == 2
    for block in BLOCKS:
        done = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_every_setting_of_slurm_stands_on_the_page_and_those_of_the_page_are_known():
    for name in KNOWN:
        assert re.search(rf"`{name}(=local)?`", PAGE), f"{name} is not on the page"
    for text in re.findall(r"slurm:([a-z]+=[^\s\"`…]+)", PAGE):
        assert settings_of(text, KNOWN, of="slurm")


@pytest.mark.slow
def test_the_script_with_dask_within_one_allocation_works(tmp_path):
    save_run(tmp_path / "checkpoints" / "sgd-s0", optimizer="sgd", seed=0)
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, module in (("landscape", "landscape"), ("dask", "dask")):
        (commands / name).write_text(f'#!/bin/bash\nexec {sys.executable} -m {module} "$@"\n')
        (commands / name).chmod(0o755)
    script = SCRIPTS[1].replace("--threads 1", "--threads 1 --plan quick --last 1 --barriers 0 --planes ''")
    (tmp_path / "job.sh").write_text(script)
    path = os.pathsep.join([str(commands), str(ROOT / "tests" / "support" / "slurm"), os.environ["PATH"]])
    queue = {**ENVIRONMENT, "PATH": path, "FAKE_SLURM": str(tmp_path)}
    submitted = subprocess.run(["sbatch", "job.sh"], cwd=tmp_path, env=queue, capture_output=True, text=True)
    number = submitted.stdout.split()[-1]
    try:
        results = tmp_path / "checkpoints" / "report.html"
        wait_until(lambda: results.exists() or "RUNNING" not in (tmp_path / f"{number}.state").read_text(), 240)
        assert [run.name for run in ls.load_results(tmp_path / "checkpoints").runs] == ["sgd-s0"]
    finally:
        subprocess.run(["scancel", number], env=queue)
