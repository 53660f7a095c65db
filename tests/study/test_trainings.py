"""Trainings side by side: the same bits through any executor, and one that is killed costs itself alone."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import landscape as ls
from landscape.analysis import pipeline
from landscape.checkpoints import CheckpointDir
from landscape.errors import ForeignError, LandscapeError
from landscape.study import Arm, Study, Trajectory, follow, run_study
from landscape.study.trainings import TrainingJob, train_all
from tests.support import faults
from tests.support.processes import spawning


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest, and test_report looks at that."""
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)


def small():
    settings = {"epochs": 2, "batch_size": 20, "save_every": 2}
    return Study(
        name="small", question="?", problem="mlp-digits", problem_config={"hidden": [5], "num_train": 60},
        arms=(Arm("sgd"), Arm("adam", {"optimizer": "adam", "lr": 0.01})), seeds=(0, 1), settings=settings,
        plan={**{k: v for k, v in faults.TINY.items() if k not in ("problem", "workers")}, "last": 1},
    )  # fmt: skip


def trainings(folder):
    study = small()
    return [TrainingJob(folder / f"{a.label}-s{s}", study.settings_of(a, seed=s)) for a in study.arms for s in (0, 1)]


def hashes(folder):
    return {run.name: [c.params_sha256 for c in CheckpointDir(run)] for run in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    done = train_all(trainings(folder), workers=1)
    return hashes(folder), [run.metrics for run in done]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_bit_of_a_training(tmp_path, trained, workers):
    done = train_all(trainings(tmp_path), workers=workers)
    assert (hashes(tmp_path), [run.metrics for run in done]) == trained


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", "processes"])
def test_an_executor_of_others_changes_no_bit_of_a_training(tmp_path, trained, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(2) if name == "threads" else spawning(2, os.chdir, "/") as executor:
        done = train_all(trainings(Path("here")), workers=1, executor=executor)
    assert (hashes(tmp_path / "here"), [run.metrics for run in done]) == trained


def with_faults(folder, *named):
    """Trainings of which those named go wrong while the switch is there."""
    settings = {**small().settings_of(small().arms[0], seed=0), "problem": faults.SPEC}
    return [
        TrainingJob(folder / name, {**settings, "problem_config": {"switch": True, "fault": fault}})
        for name, fault in named
    ]


@pytest.mark.slow
def test_a_training_that_is_killed_costs_itself_alone_and_the_next_start_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv(faults.SWITCH, str(tmp_path / "switch"))
    (tmp_path / "switch").touch()
    work = with_faults(tmp_path / "runs", ("first", ""), ("killed", "kill"), ("third", ""), ("fourth", ""))
    said = []
    with pytest.raises(LandscapeError) as caught:
        train_all(work, workers=2, finished=said.append)
    message = str(caught.value)
    assert message.startswith("training runs/killed: its process was ended by SIGKILL")
    assert "fewer workers, or a smaller batch_size, need less of it" in message
    assert "what was done is kept" in message
    assert "\n" not in message
    assert {run.folder.name: run.failed for run in said} == {
        "first": False, "killed": True, "third": False, "fourth": False,
    }  # fmt: skip
    others = [tmp_path / "runs" / name for name in ("first", "third", "fourth")]
    times = {file: file.stat().st_mtime_ns for run in others for file in run.glob("step_*.h5")}
    assert times
    (tmp_path / "switch").unlink()
    assert all(run.metrics for run in train_all(work, workers=2))
    assert {file: file.stat().st_mtime_ns for file in times} == times
    assert hashes(tmp_path / "runs")["killed"] == hashes(tmp_path / "runs")["first"]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_that_raises_is_named_with_its_cause_when_the_others_are_done(tmp_path, monkeypatch, workers):
    monkeypatch.setenv(faults.SWITCH, str(tmp_path / "switch"))
    (tmp_path / "switch").touch()
    work = with_faults(tmp_path / "runs", ("bad", "KeyError"), ("good", ""), ("worse", "ZeroDivisionError"))
    with pytest.raises(ForeignError, match=r"training runs/bad: .*KeyError.*; so it was with runs/worse") as caught:
        train_all(work, workers=workers)
    assert "in forward" in str(caught.value.__cause__)
    assert CheckpointDir(tmp_path / "runs" / "good").steps


@pytest.mark.slow
def test_a_study_whose_training_is_killed_says_which_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setenv(faults.SWITCH, str(tmp_path / "switch"))
    (tmp_path / "switch").touch()
    whole = small()
    study = Study(
        name="killed", question="?", problem=faults.SPEC, problem_config={"switch": True}, seeds=(0, 1),
        arms=(Arm("sound"), Arm("killed", {"problem_config": {"switch": True, "fault": "kill"}})),
        settings=whole.settings, plan=whole.plan,
    )  # fmt: skip
    said = []
    with pytest.raises(
        LandscapeError, match="training runs/killed-s0: its process was ended by SIGKILL.*runs/killed-s1"
    ):
        run_study(study, tmp_path / "out", workers=2, say=said.append)
    assert {run.name for run in (tmp_path / "out" / "runs").glob("sound-*/step_*.h5")}
    assert any("runs/killed-s1: its process was ended by SIGKILL" in line for line in said)
    (tmp_path / "switch").unlink()
    outcome = run_study(study, tmp_path / "out", workers=2)
    assert {run.name for run in ls.load_results(outcome.results).runs} == {
        "sound-s0", "sound-s1", "killed-s0", "killed-s1",
    }  # fmt: skip


@pytest.mark.slow
def test_a_study_through_an_executor_ends_with_the_same_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with spawning(2, os.chdir, "/") as executor:
        outcome = run_study(small(), "elsewhere", executor=executor)
    here = run_study(small(), tmp_path / "here", workers=1)
    one, two = (hashes_of_runs(Path(o.results).parent) for o in (outcome, here))
    assert one == two
    assert len(one) == 4


def hashes_of_runs(folder):
    return {run.name: CheckpointDir(run)[-1].params_sha256 for run in folder.glob("*-s*")}


@pytest.mark.slow
def test_steps_are_followed_alike_here_in_processes_and_through_an_executor(tmp_path):
    study = Study(
        name="steps", question="?", problem="quadratic", problem_config={"eigenvalues": [4.0, 1.0], "noise": 0.0},
        arms=(Arm("gd", {"optimizer": "gd", "lr": 0.2}), Arm("momentum", {"optimizer": "momentum", "lr": 0.05})),
        seeds=(0,), settings={"epochs": 5},
    )  # fmt: skip
    design = Trajectory(study, looks=2, top=1)
    with spawning(1) as executor:
        texts = [
            follow(design, tmp_path / "here", workers=1).read_text(),
            follow(design, tmp_path / "two", workers=2).read_text(),
            follow(design, tmp_path / "elsewhere", executor=executor).read_text(),
        ]
    assert texts[0] == texts[1] == texts[2]
