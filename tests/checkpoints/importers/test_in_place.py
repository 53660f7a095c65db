"""A folder of other libraries' files is analyzed as it is: converted once, and measured as ours."""

from __future__ import annotations

import shutil
from dataclasses import fields

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.checkpoints import CheckpointDir, find_runs, import_in_place
from landscape.operators import HessianOperator
from tests.support.command_line import call, typed
from tests.support.faults import TINY
from tests.support.foreign import digits, natively, normed, train

NORMED = "tests.support.foreign:normed"
QUICK = {**TINY, "problem": NORMED, "levels": 0}


@pytest.fixture
def folder(tmp_path):
    """Two runs of two checkpoints, as a script of somebody's saves them, and the same saved by us."""
    problem = normed()
    for run, optimizer in (("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)):
        (tmp_path / "runs" / run).mkdir(parents=True)
        for step in (2, 5):
            model, built = train(problem, optimizer, steps=step)
            content = {"model": model.state_dict(), "optimizer": built.state_dict(), "step": step}
            torch.save(content, tmp_path / "runs" / run / f"c{step}.pt")
            natively(tmp_path / "native" / run, problem, model, built, step)
    return tmp_path / "runs"


def imported(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("step_*.h5")}


@pytest.mark.slow
def test_what_is_measured_is_that_of_our_own_checkpoints_bit_for_bit(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)
    fixed = lambda objective, **how: HessianOperator(objective, route="fresh")  # noqa: E731  which rounds alike
    monkeypatch.setattr("landscape.analysis.context.HessianOperator", fixed)
    lines = []
    plan = ls.Plan(**QUICK)
    theirs = ls.load_results(ls.analyze(folder, plan, say=lines.append))
    ours = ls.load_results(ls.analyze(tmp_path / "native", plan))
    assert (folder / "results.h5").exists()
    (line,) = (line for line in lines if not line.startswith("expected: "))
    assert "4 converted now. " in line
    assert line.count("taken for Adam,") == line.count("taken for SGD,") == 1
    assert [run.name for run in theirs.runs] == ["adam", "sgd"]
    compared = 0
    for a, b in zip(theirs.runs, ours.runs, strict=True):
        assert (a.name, a.label, len(a.checkpoints)) == (b.name, b.label, 2)
        for x, y in zip(a.checkpoints, b.checkpoints, strict=True):
            assert (x.step, x.records.keys()) == (y.step, y.records.keys())
            for name, record in x.records.items():
                for field in fields(record):
                    values = getattr(record, field.name), getattr(y.records[name], field.name)
                    assert repr(values[0]) == repr(values[1]), (a.name, x.step, name, field.name)
                    if isinstance(values[0], np.ndarray):
                        assert values[0].tobytes() == values[1].tobytes(), (a.name, x.step, name, field.name)
                        compared += values[0].size
    assert compared > 100
    assert not theirs.info["skipped"]


def test_what_is_unchanged_is_not_converted_again_and_what_is_new_or_gone_is_followed(folder):
    import_in_place(folder, NORMED)
    before = imported(folder / "imported")
    assert sorted(before) == [
        "adam/step_00000002.h5",
        "adam/step_00000005.h5",
        "sgd/step_00000002.h5",
        "sgd/step_00000005.h5",
    ]
    assert import_in_place(folder, NORMED) == []
    assert import_in_place(folder) == []  # nothing to convert needs no problem
    assert imported(folder / "imported") == before
    model, _ = train(normed(), steps=7)
    torch.save({"model": model.state_dict(), "step": 7}, folder / "sgd" / "c5.pt")
    (folder / "adam" / "c2.pt").unlink()
    lines = []
    import_in_place(folder, NORMED, say=lines.append)
    after = imported(folder / "imported")
    assert sorted(after) == ["adam/step_00000005.h5", "sgd/step_00000002.h5", "sgd/step_00000007.h5"]
    assert all(after[name] == before[name] for name in after if name in before)
    assert "1 converted now, 2 as converted before" in lines[-1]


def test_another_problem_converts_again(folder):
    import_in_place(folder, NORMED)
    with pytest.raises(ls.CheckpointError, match=r"nothing in .* could be imported. First reason: .* does not fit"):
        import_in_place(folder, "mlp-digits")


def test_a_copy_of_a_checkpoint_and_a_file_that_is_none_are_not_read_each_time(folder, monkeypatch):
    content = torch.load(folder / "sgd" / "c5.pt", weights_only=True)
    torch.save({**content, "more": 1}, folder / "sgd" / "last.pt")
    torch.save(torch.ones(3), folder / "sgd" / "data.pt")
    lines = []
    assert import_in_place(folder, NORMED, say=lines.append) == []
    assert "the same parameters are in" in lines[-1]
    assert any(line.startswith("passed over: ") for line in lines)
    monkeypatch.setattr("landscape.checkpoints.importers.in_place.convert", None)
    assert import_in_place(folder) == []


def test_a_file_that_cannot_be_read_is_listed_and_does_not_stop_the_others(folder):
    (folder / "adam" / "c2.pt").write_bytes(b"PK\x03\x04 not a zip")
    (skipped,) = import_in_place(folder, NORMED)
    assert skipped.file == folder / "adam" / "c2.pt"
    assert "damaged" in skipped.reason
    assert len(imported(folder / "imported")) == 3


def test_nothing_is_touched_where_there_are_checkpoints_of_ours(folder, tmp_path):
    natively(folder / "own", normed(), normed().make_model(0))
    assert import_in_place(folder) == []
    assert not (folder / "imported").exists()
    assert import_in_place(tmp_path / "nowhere") == []


def test_a_damaged_conversion_is_made_again(folder):
    import_in_place(folder, NORMED)
    victim = folder / "imported" / "sgd" / "step_00000005.h5"
    whole = victim.read_bytes()
    victim.write_bytes(whole[:-3])
    import_in_place(folder, NORMED)
    assert ls.load_checkpoint(victim).step == 5


@pytest.mark.parametrize("place", ["folder", "file"])
def test_without_a_problem_one_line_says_what_was_found_and_what_to_type(place, folder, capsys, monkeypatch):
    path = folder if place == "folder" else folder / "sgd" / "c5.pt"
    status, out, err = call(capsys, monkeypatch, "analyze", path)
    assert (status, out, err.count("\n")) == (2, "", 1)
    if place == "folder":
        assert "holds checkpoints of other libraries (4 .pt)" in err
        assert err.endswith(f"landscape analyze {folder} --problem pkg.mod:factory\n")
    else:
        assert f"landscape import {path} DST --problem pkg.mod:factory, then analyze DST" in err


def test_our_own_readers_say_that_such_a_folder_can_be_imported(folder):
    for read in (find_runs, CheckpointDir):
        with pytest.raises(
            ls.CheckpointError, match=r"It holds files of other libraries \(\d .pt\): landscape analyze"
        ) as e:
            read(folder / "sgd")
        assert "\n" not in str(e.value)


@pytest.mark.slow
def test_analyze_from_the_command_line_writes_into_the_folder_that_was_named(folder, capsys, monkeypatch):
    shutil.rmtree(folder / "adam")
    (folder / "sgd" / "broken.pt").write_bytes(b"no checkpoint")
    status, out, err = call(capsys, monkeypatch, "analyze", folder, *typed(QUICK))
    assert status == 1  # the broken one
    assert "2 converted now, 1 that cannot be used" in err
    assert (folder / "report.html").exists()
    (skipped,) = ls.load_results(folder).info["skipped"]
    assert skipped["file"] == "sgd/broken.pt"
    status, out, err = call(capsys, monkeypatch, "show", folder)
    assert "sgd" in out


def test_the_whole_folder_may_be_one_run(tmp_path):
    problem = digits()
    model, _ = train(problem)
    torch.save(model.state_dict(), tmp_path / "step_3.pt")
    import_in_place(tmp_path, problem)
    assert [path.relative_to(tmp_path).as_posix() for path in find_runs(tmp_path)] == ["imported"]
