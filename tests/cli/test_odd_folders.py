"""Folders not there, not ours, oddly named or unreadable, and a library that crashes, through the command line."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys

import pytest

import landscape as ls
from landscape import cli
from tests.support import faults
from tests.support.command_line import call, typed


def odd_places(folder) -> dict:
    """Paths that a person or a script may name by mistake."""
    (folder / "empty").mkdir()
    (folder / "file").write_text("text")
    (folder / "results").mkdir()
    (folder / "results" / "results.h5").mkdir()
    (folder / "garbage").mkdir()
    (folder / "garbage" / "results.h5").write_bytes(b"landscape-results 1 garbage" * 99)
    (folder / "garbage" / "step_00000001.h5").write_bytes(b"garbage" * 99)
    (folder / "circle").symlink_to(folder / "circle")
    (folder / "folder_for_a_checkpoint").mkdir()
    (folder / "folder_for_a_checkpoint" / "step_00000001.h5").mkdir()
    return {
        "nowhere": folder / "nowhere", "below a file": folder / "file" / "runs", "too long": folder / ("x" * 300),
        "far too long": "/".join(["y" * 200] * 30), "brackets": folder / "[a-", "empty name": "",
        "undecodable": folder / os.fsdecode(b"\xff\xfe"), "lines": folder / "one\ntwo",
        **{name: folder / name for name in ("empty", "file", "results", "garbage", "circle")},
        "folder for a checkpoint": folder / "folder_for_a_checkpoint",
    }  # fmt: skip


@pytest.mark.parametrize("command", ["analyze", "compare", "report", "show", "match", "inspect", "import"])
def test_an_odd_folder_is_one_line_on_stderr_and_status_2(command, tmp_path, capsys, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name, path in odd_places(tmp_path).items():
        more = [tmp_path / "out"] if command in ("match", "import") else []
        status, out, err = call(capsys, monkeypatch, command, path, *more)
        damaged = (command, name) == ("inspect", "garbage")  # one of ours, whose hash does not hold
        assert (status, out) == (1 if damaged else 2, ""), (name, out, err)
        assert err.startswith("landscape: "), (name, err)
        assert name != "circle" or "damaged" not in err
        assert err.count("\n") == 1, (name, err)
        assert "This should not happen" not in err, (name, err)


@pytest.mark.slow
def test_a_crash_of_a_library_in_the_one_process_leaves_a_trace_and_the_next_analysis_gets_round_it(tmp_path):
    folder = faults.save(tmp_path / "run", steps=1, fault="crash")
    (tmp_path / "switch").touch()
    environment = {**os.environ, faults.SWITCH: str(tmp_path / "switch")}
    flags = typed({name: value for name, value in faults.TINY.items() if name != "workers"})

    def again():
        command = [sys.executable, "-m", "landscape", "analyze", str(folder), *flags]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

    first = again()
    assert first.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in first.stderr
    assert "in crash" in first.stderr
    second = again()
    assert second.returncode == 2
    assert second.stderr.startswith("landscape: nothing in ")
    assert "SIGSEGV" in second.stderr
    assert second.stderr.count("\n") == 1


@pytest.mark.slow
def test_any_name_that_a_folder_can_have_is_measured_and_shown(tmp_path, capsys, monkeypatch):
    """Brackets, quotes, bytes that are no text, line ends, spaces, long ones: through processes, files and terminal."""
    monkeypatch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)
    names = ["a[0]", "b*?", os.fsdecode(b"c-\xff\xfe"), "d\ne", " f ", "g'\"$HOME", "h" * 200, "-i", "%2F", "j/../k"]
    for name in names[:-1]:
        faults.save(tmp_path / "runs [x" / name, steps=1)
    plan = ls.Plan(**{**faults.TINY, "workers": 2})
    results = ls.load_results(ls.analyze(tmp_path / "runs [x", plan))
    assert {run.name for run in results.runs} == set(names[:-1])
    assert results.info["skipped"] == []
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    monkeypatch.setattr(sys, "argv", ["landscape", "show", str(tmp_path / "runs [x")])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    sys.stdout.flush()
    assert ended.value.code in (0, None)
    assert b"a[0]" in sys.stdout.buffer.getvalue()
    assert call(capsys, monkeypatch, "analyze", tmp_path / "runs [x" / names[2], "--eigs", "0")[0] == 2


def test_a_folder_that_cannot_be_read_is_listed_and_the_others_are_measured(tmp_path, monkeypatch):
    """A path that is too long cannot be read by anyone, not even root."""
    monkeypatch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)
    runs = tmp_path / "runs"
    faults.save(runs / "sound", steps=1)
    (runs / "deep").mkdir()
    above = os.open(runs / "deep", os.O_RDONLY)
    for _ in range(25):
        os.mkdir("z" * 200, dir_fd=above)
        below = os.open("z" * 200, os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)
    try:
        results = ls.load_results(ls.analyze(runs, ls.Plan(**faults.TINY)))
    finally:
        subprocess.run(["rm", "-rf", str(runs / "deep")], check=True)
    assert [run.name for run in results.runs] == ["sound"]
    (bad,) = results.info["skipped"]
    assert bad["file"].startswith("deep/zzz")
    assert "too long" in bad["reason"]
