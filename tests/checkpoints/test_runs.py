"""A folder of checkpoints is a run, in the order of its steps; what cannot be used is passed over with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from landscape.checkpoints import (
    CheckpointDir,
    find_runs,
    remove_temporaries,
    save_checkpoint,
)
from landscape.errors import CheckpointError, UsageError
from tests.support.checkpoints import linear


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "runs" / "adam-s0"
    for step in (100, 20, 3):
        save_checkpoint(folder, linear(2, 1), step=step)
    (folder / ".step_00000101.h5.1-ab.tmp").write_bytes(b"half")
    (folder / "results.h5").write_bytes(b"other")
    return folder


def test_a_run_is_a_sequence_by_step_that_ignores_temporaries(run):
    checkpoints = CheckpointDir(run)
    assert checkpoints.steps == (3, 20, 100)
    assert [c.step for c in checkpoints] == [3, 20, 100]
    assert checkpoints[-1].step == 100
    assert [c.step for c in checkpoints[:2]] == [3, 20]
    remove_temporaries(run)
    assert sorted(p.name for p in run.iterdir())[0] == "results.h5"


def test_unusable_files_are_passed_over_with_their_reason(run):
    (run / "step_00000050.h5").write_bytes(b"\0" * 10)
    raw = bytearray((run / "step_00000100.h5").read_bytes())
    (run / "step_00000100.h5").write_bytes(raw[:-5])
    good, bad = CheckpointDir(run).usable()
    assert [c.step for c in good] == [3, 20]
    assert [s.file.name for s in bad] == ["step_00000050.h5", "step_00000100.h5"]
    assert "truncated" in bad[1].reason
    good, bad = CheckpointDir(run).usable(last=1)
    assert ([c.step for c in good], len(bad)) == ([20], 2)
    with pytest.raises(UsageError, match="last=0"):
        CheckpointDir(run).usable(last=0)


def test_runs_are_found_below_a_folder_at_any_depth(run):
    root = run.parent
    save_checkpoint(root / "deep" / "er" / "sgd-s0", linear(), step=1)
    save_checkpoint(run / "nested", linear(), step=1)  # part of a run, not a run
    save_checkpoint(root / ".hidden", linear(), step=1)
    (root / "back").symlink_to(root)
    assert find_runs(root) == [run, root / "deep" / "er" / "sgd-s0"]
    assert find_runs(run) == [run]


def test_a_folder_without_checkpoints_says_what_was_looked_for(tmp_path, saved):
    for path, said in ((tmp_path / "absent", "no such folder"), (saved, "It is a file"), (tmp_path / "empty", "")):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with pytest.raises(CheckpointError, match=rf"step_\*\.h5.*{said}"):
            find_runs(path)
        with pytest.raises(CheckpointError, match=rf"step_\*\.h5.*{said}"):
            CheckpointDir(path)
