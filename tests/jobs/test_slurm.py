"""Jobs through submitit: by its local executor, and by stand-ins for Slurm's commands (tests/support/slurm)."""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

import pytest

from landscape.errors import LandscapeError, UsageError
from landscape.jobs import Job, opened_executor, run, slurm
from landscape.jobs.settings import slurm_minutes
from tests.support.processes import alive

NUMBERS = itertools.count(100, 100)
STAND_INS = Path(__file__).parents[1] / "support" / "slurm"


def job(name, *args):
    return Job(f"{name}{args}", f"tests.support.calls:{name}", args)


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A machine on which jobs can be submitted; in its folder stand scripts and states of jobs."""
    home = tmp_path / "queue"
    home.mkdir()
    monkeypatch.setenv("PATH", f"{STAND_INS}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("submitit.SlurmJob._results_timeout_s", 1)
    (home / "last").write_text(f"{next(NUMBERS)}")  # what is known of a number stays known
    return home


def numbers(queue):
    """Of the jobs that were submitted."""
    return sorted(int(file.stem) for file in queue.glob("*.sh"))


@pytest.mark.slow
def test_outcomes_of_the_local_twin_are_those_of_any_executor(tmp_path):
    with opened_executor(f"slurm:cluster=local,time=5,jobs=3,folder={tmp_path / 'jobs'}") as executor:
        assert executor.at_once == 3
        outcomes = run([job("twice", 1), job("divide", 1), job("die_once", str(tmp_path / "mark"))], executor)
    assert [outcome.value for outcome in outcomes] == [2, None, "alive"]
    assert outcomes[1].failure.reason.startswith("ZeroDivisionError: division by zero (tests/support/calls.py:")


@pytest.mark.slow
def test_a_job_is_submitted_with_the_options_that_were_given(queue):
    name = "slurm:partition=gpu,time=1:30:00,cpus=2,mem=8G,gpus=1,account=me,exclude=n1,n2,setup=export GREETING=hello"
    with opened_executor(name) as executor:
        outcomes = run([job("greeting")], executor)
    assert outcomes[0].value == "hello"
    script = (queue / f"{numbers(queue)[0]}.sh").read_text().splitlines()
    for line in (
        "--partition=gpu", "--time=90", "--cpus-per-task=2", "--mem=8G", "--gpus-per-node=1", "--account=me",
        "--exclude=n1,n2", "--job-name=landscape",
    ):  # fmt: skip
        assert f"#SBATCH {line}" in script
    assert not (queue.parent / slurm.FOLDER).exists()


@pytest.mark.slow
def test_a_job_that_slurm_ends_is_submitted_once_more_and_then_says_in_which_state(queue):
    with opened_executor("slurm:partition=gpu") as executor:
        outcomes = run([job("kill"), job("twice", 1)], executor)
    assert outcomes[1].value == 2
    assert outcomes[0].failure.kind == "died"
    said = outcomes[0].failure.reason
    assert said.startswith(f"Slurm job {numbers(queue)[2]} ")
    assert "ended without a result, in the state OUT_OF_MEMORY: it needed more than mem=…" in said
    assert len(list(queue.glob("*.sh"))) == 3
    assert list((queue.parent / slurm.FOLDER).glob("*/*_0_log.err"))


@pytest.mark.slow
def test_where_slurm_keeps_no_accounts_a_job_that_is_gone_is_found_by_the_queue(queue, monkeypatch, tmp_path):
    monkeypatch.setattr(slurm, "LOOK_EVERY", 0.2)
    own = tmp_path / "bin"
    own.mkdir()
    (own / "sacct").write_text("#!/bin/bash\nexit 1\n")
    (own / "sacct").chmod(0o755)
    monkeypatch.setenv("PATH", f"{own}{os.pathsep}{os.environ['PATH']}")
    with opened_executor("slurm:partition=gpu") as executor:
        (outcome,) = run([job("kill")], executor)
    assert "in the state UNKNOWN" in outcome.failure.reason


@pytest.mark.slow
def test_where_the_caller_stops_jobs_are_cancelled(queue):
    marks = [queue.parent / f"mark-{n}" for n in range(2)]

    def stop(outcome):
        raise KeyboardInterrupt

    jobs = [*(job("sleep", 60, str(mark)) for mark in marks), job("after", *map(str, marks))]
    with pytest.raises(KeyboardInterrupt), opened_executor("slurm:partition=gpu") as executor:
        run(jobs, executor, finished=stop)
    pids = {int((queue / f"{number}.pid").read_text()) for number in numbers(queue)[:2]}
    end = time.monotonic() + 20
    while alive(pids) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pids)
    assert {(queue / f"{number}.state").read_text().split()[0] for number in numbers(queue)[:2]} == {"CANCELLED"}


def test_what_sbatch_says_against_a_job_is_its_outcome(queue):
    with opened_executor("slurm:partition=nowhere") as executor:
        (outcome,) = run([job("twice", 1)], executor)
    assert outcome.failure.reason == (
        "its executor did not take it: sbatch refused it: sbatch: error: invalid partition specified: nowhere"
    )


def test_where_slurm_is_not_it_is_said(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LandscapeError, match="Slurm is not here: there is no sbatch on the PATH"):
        opened_executor("slurm:partition=gpu,time=2h").__enter__()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("slurm:partion=gpu", "there is no setting 'partion'; there are partition, account"),
        ("slurm:partition=", "partition has no value"),
        ("slurm:mem=8G,mem=9G", "mem is given twice"),
        ("slurm:cpus=two", "cpus='two' must be a whole number of at least 1"),
        ("slurm:jobs=0", "jobs='0' must be a whole number of at least 1"),
        ("slurm:time=soon", "time='soon' must be a time, such as 90"),
        ("slurm:cluster=pbs", "cluster='pbs' is neither 'slurm' nor 'local'"),
        ("local:4", "local has no settings"),
        ("pbs:queue=long", "is none of 'local', 'dask:ADDRESS' and 'slurm:partition=NAME,time=2h'"),
    ],
)
def test_settings_that_are_none_are_refused(text, said):
    with pytest.raises(UsageError, match=said):
        opened_executor(text).__enter__()


def test_times_are_read_as_slurm_reads_them():
    read = {
        text: slurm_minutes(text) for text in ("90", "1:00:00", "2-00:00", "1-6", "2h", "1d", "61s", "0", "1:2:3:4")
    }
    assert [*read.values()] == [90, 60, 2880, 1800, 120, 1440, 2, None, None]


def test_without_submitit_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "landscape.jobs.slurm")
    with pytest.raises(UsageError, match=r"not installed: pip install 'landscape-curvature\[cluster\]'"):
        opened_executor("slurm:partition=gpu").__enter__()
