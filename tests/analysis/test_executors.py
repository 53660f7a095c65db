"""Analyses through any executor: the same bits as in one process, and what dies costs itself alone."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import landscape as ls
from landscape.analysis import jobs, pipeline
from landscape.checkpoints import reader
from landscape.errors import LandscapeError, UsageError
from landscape.store import ResultStore
from tests.support import calls, faults
from tests.support.processes import spawning
from tests.support.runs import SMALL, save_run
from tests.support.stores import identical, stored

PLAN = ls.Plan(**{**SMALL.fields(), "last": 2, "barriers": 1})


@pytest.fixture(autouse=True)
def undrawn(monkeypatch):
    """Drawing takes longer than all the rest, and test_report looks at that."""
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Two runs, with records that say how to multiply by the Hessian: chosen by timing, last digits may differ."""
    folder = tmp_path_factory.mktemp("saved") / "runs"
    for optimizer in ("adam", "sgd"):
        save_run(folder / f"{optimizer}-s0", optimizer=optimizer, seed=0)
    one = np.ones(1)
    earlier = ls.Eigenpairs(one, np.ones((1, 1)), one, one > 0, 1, "", "largest", "lanczos", 0.1, 0, 1)
    with ResultStore(folder) as store:
        for optimizer in ("adam", "sgd"):
            for step in (2, 3):
                store.write(f"{optimizer}-s0", step, "eigenpairs", earlier, {"key": {}, "route": "fresh"})
    return folder


@pytest.fixture
def runs(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "runs")


@pytest.fixture(scope="module")
def reference(saved, tmp_path_factory):
    """Measured in one process, one after the other."""
    folder = shutil.copytree(saved, tmp_path_factory.mktemp("reference") / "runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "write_report", lambda results: None)
        ls.analyze(folder, PLAN)
    return stored(folder)


def check_same_bits(found, reference):
    """But for the time that they took, records and how they were measured are the same."""
    assert found.keys() == reference.keys()
    for name, (record, how) in found.items():
        assert identical(record, reference[name][0]), f"{name} has other bits"
        times = {"seconds", "created"}
        assert {k: v for k, v in how.items() if k not in times} == {
            k: v for k, v in reference[name][1].items() if k not in times
        }


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 3])
def test_the_number_of_workers_changes_no_bit(runs, reference, workers):
    ls.analyze(runs, ls.Plan(**{**PLAN.fields(), "workers": workers}))
    check_same_bits(stored(runs), reference)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threads", "processes", "bytes"])
def test_an_executor_of_others_changes_no_bit(runs, reference, name):
    with ThreadPoolExecutor(2) if name == "threads" else spawning(2) as executor:
        ls.analyze(runs, PLAN, executor=executor, shared=name != "bytes")
    check_same_bits(stored(runs), reference)


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_checkpoints_of_a_long_run_as_jobs_of_their_own_change_no_bit(tmp_path, monkeypatch, shared):
    """Each in another process than the last one, from which its search begins."""
    save_run(tmp_path / "whole" / "sgd-s0", optimizer="sgd", seed=0)
    one = np.ones(1)
    earlier = ls.Eigenpairs(one, np.ones((1, 1)), one, one > 0, 1, "", "largest", "lanczos", 0.1, 0, 1)
    with ResultStore(tmp_path / "whole") as store:
        for step in (1, 2, 3):
            store.write("sgd-s0", step, "eigenpairs", earlier, {"key": {}, "route": "fresh"})
    shutil.copytree(tmp_path / "whole", tmp_path / "parts")
    plan, names = ls.Plan(**{**SMALL.fields(), "last": 3, "along": True}), []
    ls.analyze(tmp_path / "whole", plan)
    monkeypatch.setattr(jobs, "EARLIER", 1)
    genuine = jobs.run

    def spy(given, executor, **how):
        names.append([job.args[0]["runs"][0]["only"] for job in given])
        return genuine(given, executor, **how)

    monkeypatch.setattr(jobs, "run", spy)
    with spawning(2) as executor:
        ls.analyze(tmp_path / "parts", plan, executor=executor, shared=shared)
    assert names[:2] == [[(2,)], [(1,), (0,)]]
    check_same_bits(stored(tmp_path / "parts"), stored(tmp_path / "whole"))


def test_a_line_between_minima_says_how_it_was_measured_as_the_other_records_do(reference):
    of_pair, of_run = reference["adam-s0", "sgd-s0"][1], reference["adam-s0", 3, "sharpness_worst"][1]
    assert of_pair.keys() == of_run.keys()
    assert of_pair["key"].keys() <= of_run["key"].keys()
    assert of_pair["threads"] == of_run["threads"] == 1
    assert of_pair["dtype"] == "float32"


# --- where the folder is not ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_jobs_that_carry_bytes_open_nothing_of_the_folder(runs, reference):
    """The processes stand elsewhere, and the folder is out of their reach; named by its path, nothing is measured."""
    with spawning(1, calls.refuse_folder, str(runs)) as executor:
        with pytest.raises(ls.CheckpointError, match=r"nothing in .* could be measured.*out of reach here|permission"):
            ls.analyze(runs, PLAN, executor=executor)
        ls.analyze(runs, PLAN, executor=executor, shared=False)
    check_same_bits(stored(runs), reference)


@pytest.mark.slow
def test_with_a_shared_folder_a_relative_path_is_found_from_everywhere(runs, reference, monkeypatch):
    monkeypatch.chdir(runs.parent)
    with spawning(1, os.chdir, "/") as executor:
        ls.analyze("runs", PLAN, executor=executor)
    check_same_bits(stored(runs), reference)


def test_jobs_that_carry_bytes_carry_what_was_measured_before(runs):
    with ThreadPoolExecutor(1) as executor:
        ls.analyze(runs, PLAN, executor=executor, shared=False)
        before = stored(runs)
        more = ls.Plan(**{**PLAN.fields(), "directions": 2})
        ls.analyze(runs, more, executor=executor, shared=False)
    after = stored(runs)
    assert {name[2] for name in after.keys() - before.keys()} == {"line_random_1"}
    assert all(after[name][1] == how for name, (_, how) in before.items())


def test_what_comes_back_damaged_or_of_another_run_is_listed_and_not_stored(runs, monkeypatch):
    genuine = jobs.measure_from_bytes

    def damaging(question, stored):
        found = genuine(question, stored)
        if question["runs"][0]["run"] == "adam-s0" and question["kind"] == "run":
            found["parts"][0] = found["parts"][0][:-1] + b"?"
        return found

    monkeypatch.setattr(jobs, "measure_from_bytes", damaging)
    with ThreadPoolExecutor(1) as executor:
        results = ls.load_results(ls.analyze(runs, PLAN, executor=executor, shared=False))
    (skipped,) = results.info["skipped"]
    assert skipped["file"] == "adam-s0"
    assert "is damaged" in skipped["reason"]


def test_a_store_takes_records_of_the_runs_that_were_asked_for_alone(runs, tmp_path):
    with ResultStore(tmp_path) as elsewhere, ResultStore(runs) as store:
        elsewhere.describe_run("other", {"seed": 1})
        (part,) = elsewhere.written()
        with pytest.raises(ls.ResultsError, match="runs/other/info came where records of adam-s0 were asked for"):
            store.adopt(part, runs=["adam-s0"])
        store.adopt(part, runs=["other"])
        assert store.description("other") == {"seed": 1}
        (tmp_path / "second").mkdir()
        (tmp_path / "second" / "results.h5").write_bytes(store.export(["other"]))
    assert ResultStore(tmp_path / "second", lock=False).steps() == {"other": []}


def test_where_another_version_would_measure_nothing_is_measured(runs, monkeypatch):
    monkeypatch.setattr(jobs, "measure_run", lambda *_: pytest.fail("measured"))
    question = {"version": "0.0.1"}
    with pytest.raises(LandscapeError, match=r"is installed where .*, and 0.0.1 where it was asked for"):
        jobs.measure_in_folder(question)


# --- executors that go wrong ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_a_process_of_others_that_dies_leaves_what_was_measured(tmp_path, monkeypatch, shared):
    monkeypatch.setenv(faults.SWITCH, str(tmp_path / "switch"))
    for name, fault in (("a-sound", ""), ("b-killed", "kill")):
        faults.save(tmp_path / "runs" / name, steps=1, fault=fault)
    (tmp_path / "switch").touch()
    with spawning(1) as executor:
        results = ls.analyze(tmp_path / "runs", ls.Plan(**faults.TINY), executor=executor, shared=shared)
    found = ls.load_results(results)
    assert [run.name for run in found.runs] == ["a-sound"]
    (skipped,) = found.info["skipped"]
    assert skipped["file"] == "b-killed"
    assert "its executor lost it: BrokenProcessPool" in skipped["reason"]


def test_where_an_executor_takes_nothing_that_is_the_error(runs):
    with pytest.raises(ls.CheckpointError, match=r"First reason: its executor did not take it: RuntimeError"):
        ls.analyze(runs, PLAN, executor=calls.Refusing())
    with pytest.raises(UsageError, match="executor='pbs' is none of 'local'"):
        ls.analyze(runs, PLAN, executor="pbs")


def test_a_disk_that_is_full_ends_the_analysis_also_where_records_come_back(runs, monkeypatch):
    monkeypatch.setattr(
        ResultStore, "adopt", lambda *_, **__: (_ for _ in ()).throw(ls.ResultsError("cannot write it"))
    )
    with ThreadPoolExecutor(1) as executor, pytest.raises(ls.ResultsError, match="cannot write it"):
        ls.analyze(runs, PLAN, executor=executor, shared=False)


@pytest.mark.slow
def test_a_line_whose_process_dies_is_listed_and_the_runs_are_there(tmp_path, monkeypatch):
    """It lives while the runs are measured, and dies at the line."""
    monkeypatch.setenv(faults.SWITCH, str(tmp_path / "switch"))
    for optimizer in ("adam", "sgd"):
        faults.save(tmp_path / "runs" / optimizer, steps=1, optimizer=optimizer, fault="kill")
    genuine = jobs.Measurer.pairs

    def pairs(self, *args):
        (tmp_path / "switch").touch()
        self.analysis += "-"  # so that the processes build the problem again
        return genuine(self, *args)

    monkeypatch.setattr(jobs.Measurer, "pairs", pairs)
    plan = ls.Plan(**{**faults.TINY, "barriers": 1, "workers": 2})
    results = ls.load_results(ls.analyze(tmp_path / "runs", plan))
    assert len(results.runs) == 2
    (skipped,) = results.info["skipped"]
    assert skipped["file"] == "adam to sgd"
    assert "ended by SIGKILL" in skipped["reason"]


# --- how often a file is opened ---------------------------------------------------------------------------------------


def test_in_one_process_each_checkpoint_is_opened_once(runs, monkeypatch):
    opened, genuine = [], reader.open_file

    def spy(path, **options):
        opened.append(str(path))
        return genuine(path, **options)

    monkeypatch.setattr(reader, "open_file", spy)
    ls.analyze(runs, PLAN)
    assert len(opened) == len(set(opened)) == 6  # two of each run are measured, the history is of all three


def test_a_checkpoint_that_changed_is_opened_again(tmp_path):
    opened = jobs.opened_by("a test")
    save_run(tmp_path / "run", optimizer="sgd", seed=0)
    file = tmp_path / "run" / "step_00000003.h5"
    before = opened.checkpoint(file)
    assert opened.checkpoint(file) is before
    save_run(tmp_path / "run", optimizer="sgd", seed=1)
    assert opened.checkpoint(file).params_sha256 != before.params_sha256
    assert jobs.opened_by("another") is not opened


def test_checkpoints_beyond_what_may_be_held_are_let_go(runs, monkeypatch):
    monkeypatch.setattr("landscape.analysis.cache.MOST_BYTES", 1)
    opened = jobs.opened_by("a small one")
    first, second = (opened.checkpoint(runs / f"{name}-s0" / "step_00000003.h5") for name in ("adam", "sgd"))
    assert opened.checkpoint(second.path) is second
    assert opened.checkpoint(first.path) is not first


def test_threads_follow_from_the_runs_and_never_from_the_workers(monkeypatch):
    monkeypatch.setattr(jobs, "available_cores", lambda: 8)
    monkeypatch.setattr(jobs.torch, "get_num_threads", lambda: 8)
    for workers in (None, 1, 2, 5):
        plan = ls.Plan("quick", workers=workers)
        assert [jobs.threads_per_process(plan, runs) for runs in (1, 2, 4, 20)] == [8, 4, 2, 1]
    assert jobs.threads_per_process(ls.Plan("quick", threads=3), 20) == 3
    monkeypatch.setattr(jobs.torch, "get_num_threads", lambda: 2)
    assert jobs.threads_per_process(ls.Plan("quick"), 1) == 2
