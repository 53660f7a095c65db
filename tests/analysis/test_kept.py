"""Nothing measured is lost: what an analysis did not choose, or could not measure, is kept; shown if it answers."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

import landscape as ls
from landscape.analysis import jobs, measuring, pipeline
from landscape.store import ResultStore, describe_results, rows
from tests.support.faults import TINY, save
from tests.support.stores import identical, stored


@pytest.fixture
def switch(tmp_path, monkeypatch):
    """While this file exists, runs of the name ``fails`` cannot be measured."""
    file, original = tmp_path / "switch", measuring.objective_of

    def failing(checkpoint, *rest, **options):
        if file.exists() and checkpoint.path.parent.name == "fails":
            raise ZeroDivisionError("as the switch says")
        return original(checkpoint, *rest, **options)

    monkeypatch.setattr(measuring, "objective_of", failing)
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    return file


@pytest.fixture
def runs(tmp_path, switch):
    """Two runs of three checkpoints, of which two are analyzed, and the line between their ends."""
    folder = tmp_path / "runs"
    save(folder / "fails", steps=3)
    save(folder / "sound", steps=3, optimizer="adam")
    analyze(folder)
    return folder


def analyze(folder: Path, **changed) -> ls.store.Results:
    return ls.load_results(ls.analyze(folder, ls.Plan(**{**TINY, "barriers": 1, **changed})))


def check_all_is_there(before: dict, folder: Path, *, but: set = frozenset()) -> None:
    now = stored(folder)
    assert before.keys() <= now.keys(), f"lost: {before.keys() - now.keys()}"
    for name, (record, how) in before.items():
        if name not in but:
            assert identical(record, now[name][0]), name
            assert how == now[name][1], f"{name} was measured again"


def steps(results) -> dict[str, list[int]]:
    return {run.name: [c.step for c in run.checkpoints] for run in results.runs}


def test_a_run_that_fails_now_keeps_its_records_and_is_shown_with_the_reason(runs, switch):
    before, table = stored(runs), rows(ls.load_results(runs))
    switch.touch()
    results = analyze(runs)
    check_all_is_there(before, runs)
    assert rows(results) == table
    assert len(results.pairs) == 1
    (bad,) = results.info["skipped"]
    assert bad["file"] == "fails/step_00000003.h5"
    assert bad["reason"].startswith("ZeroDivisionError")
    assert bad["reason"].endswith("(what was measured before is shown)")


def test_a_run_that_fails_at_another_question_is_kept_and_not_shown_beside_the_others(runs, switch):
    before = stored(runs)
    switch.touch()
    results = analyze(runs, examples=9)
    assert steps(results) == {"sound": [2, 3]}
    assert results.pairs == ()
    assert "shown" not in results.info["skipped"][0]["reason"]
    check_all_is_there({name: kept for name, kept in before.items() if name[0] == "fails"}, runs)
    switch.unlink()
    assert steps(analyze(runs)) == {"fails": [2, 3], "sound": [2, 3]}
    check_all_is_there({name: kept for name, kept in before.items() if name[0] == "fails"}, runs)


def test_fewer_checkpoints_are_shown_as_the_plan_says_and_the_others_come_back_without_measuring(runs):
    before = stored(runs)
    assert steps(analyze(runs, last=1)) == {"fails": [3], "sound": [3]}
    check_all_is_there(before, runs)
    assert ("also kept", "2 checkpoints of fails, sound: gone, or outside the last plan, and so not shown") in dict(
        describe_results(runs)
    )["results"]
    assert steps(analyze(runs)) == {"fails": [2, 3], "sound": [2, 3]}
    check_all_is_there(before, runs)


def test_what_only_a_longer_plan_measures_does_not_stand_beside_another_question(runs):
    """line_random_1 of all examples must not be drawn beside lines of nine; asked for again it is still there."""
    analyze(runs, directions=2)
    before = {name: kept for name, kept in stored(runs).items() if name[-1] == "line_random_1"}
    assert len(before) == 2
    results = analyze(runs, examples=9)
    assert "line_random_0" in results.runs[0].last.records
    assert "line_random_1" not in results.runs[0].last.records
    check_all_is_there(before, runs)
    assert "line_random_1" in analyze(runs, directions=2).runs[0].last.records
    check_all_is_there(before, runs)


def test_a_damaged_file_hides_its_records_and_the_file_restored_shows_them_again(runs):
    before, file = stored(runs), runs / "fails" / "step_00000003.h5"
    whole = file.read_bytes()
    file.write_bytes(whole[:600])
    results = analyze(runs)
    assert steps(results) == {"fails": [1, 2], "sound": [2, 3]}
    assert [bad["file"] for bad in results.info["skipped"]] == ["fails/step_00000003.h5"]
    line = {("fails", "sound")}  # now between other minima
    # The second checkpoint is now the last, and is asked for more than it was as an earlier one.
    asked_for_more = {("fails", 2, name) for name in ("eigenpairs", "gap")}
    check_all_is_there(before, runs, but=line | asked_for_more)
    assert [pair.provenance["key"]["params"][0] for pair in results.pairs] == [
        results.run("fails").last.provenance["point"]["key"]["params"]
    ]
    file.write_bytes(whole)
    assert steps(analyze(runs)) == {"fails": [2, 3], "sound": [2, 3]}
    check_all_is_there(before, runs, but=line | asked_for_more)


def test_a_folder_that_is_renamed_or_gone_is_not_shown_twice_and_comes_back_as_it_was(runs, tmp_path):
    before = stored(runs)
    (runs / "fails").rename(runs / "renamed")
    assert steps(analyze(runs)) == {"renamed": [2, 3], "sound": [2, 3]}
    shutil.move(runs / "renamed", tmp_path / "away")
    assert steps(analyze(runs)) == {"sound": [2, 3]}
    check_all_is_there(before, runs)
    shutil.move(tmp_path / "away", runs / "fails")
    assert steps(analyze(runs)) == {"fails": [2, 3], "sound": [2, 3]}
    check_all_is_there(before, runs)


def test_records_of_a_run_that_was_trained_again_are_not_shown_as_those_of_the_new_one(runs, switch):
    save(runs / "fails", steps=3, seed=5)
    switch.touch()
    results = analyze(runs)
    assert steps(results) == {"sound": [2, 3]}
    assert ("fails", 3, "trace") in stored(runs)


def test_an_interrupt_keeps_what_was_measured_and_shows_what_was_shown(runs, monkeypatch):
    before, table = stored(runs), rows(ls.load_results(runs))

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "measure_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        analyze(runs, last=3)
    assert rows(ls.load_results(runs)) == table
    check_all_is_there(before, runs)


def test_where_nothing_can_be_measured_the_results_stay_as_they_were(runs, switch):
    shutil.rmtree(runs / "sound")
    before, table = stored(runs), rows(ls.load_results(runs))
    switch.touch()
    with pytest.raises(ls.CheckpointError, match="nothing in .* could be measured"):
        analyze(runs)
    assert rows(ls.load_results(runs)) == table
    check_all_is_there(before, runs)


def test_results_of_a_version_that_did_not_store_what_was_asked_are_shown_all_the_same(runs, switch):
    with ResultStore(runs) as store:
        older = {k: v for k, v in store.description("fails").items() if k != "asked"}
        store.describe_run("fails", older)
        store.consolidate()
    switch.touch()
    assert steps(analyze(runs)) == {"fails": [2, 3], "sound": [2, 3]}


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS])
def test_a_disk_that_refuses_from_any_write_on_is_one_line_and_loses_nothing(runs, monkeypatch, error):
    """From the n-th write on every one fails: while measuring, describing and consolidating."""
    replace, count, last = os.replace, [0], [10**9]

    def refusing(*names):
        count[0] += 1
        if count[0] > last[0]:
            raise OSError(error, os.strerror(error))
        replace(*names)

    monkeypatch.setattr(os, "replace", refusing)
    before = stored(runs)
    spare = shutil.copytree(runs, runs.parent / "spare")
    count[0] = 0
    whole = rows(analyze(spare, last=3))
    total = count[0]
    assert total > 6
    for n in (0, 1, total // 2, total - 2, total - 1):
        folder = shutil.copytree(runs, runs.parent / f"full-{n}")
        count[0], last[0] = 0, n
        with pytest.raises(ls.ResultsError, match="cannot write .*; free some space or make the folder") as caught:
            analyze(folder, last=3)
        assert count[0] <= n + 2  # it stops where it cannot write, and measures nothing for nothing
        assert "\n" not in str(caught.value)
        last[0] = 10**9
        check_all_is_there(before, folder)
        again = rows(analyze(folder, last=3))
        assert [{**row, "seconds": 0} for row in again] == [{**row, "seconds": 0} for row in whole]
        check_all_is_there(before, folder)


def test_a_disk_that_fills_up_stops_the_processes_too(runs, monkeypatch):
    before = stored(runs)
    parts = runs / "results.h5.parts"
    parts.write_text("a file where the journal should be")
    with pytest.raises(ls.ResultsError, match="cannot write .*results.h5.parts"):
        analyze(runs, last=3, workers=2)
    parts.unlink()
    check_all_is_there(before, runs)


def test_a_figure_that_cannot_be_drawn_leaves_the_results_and_says_how_to_go_on(runs, monkeypatch):
    def broken(results):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pipeline, "write_report", broken)
    with pytest.raises(ls.LandscapeError, match="results are stored .* landscape report: OSError: .*No space left"):
        analyze(runs, last=3)
    assert steps(ls.load_results(runs)) == {"fails": [1, 2, 3], "sound": [1, 2, 3]}
