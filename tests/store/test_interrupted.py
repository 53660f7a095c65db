"""A power cut, a second process, a full disk or a folder that cannot be written loses nothing that was written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from landscape.errors import ResultsError
from landscape.results import Estimate
from landscape.store import ResultStore, files, load_results
from tests.support.processes import run_python
from tests.support.stores import KEY, small_results


class PowerCut(BaseException):
    """Ends everything where it is raised, as a kill would."""


@pytest.mark.parametrize("where", range(7))
def test_consolidation_cut_at_any_step_leaves_old_and_new_readable(tmp_path, monkeypatch, where):
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "old", Estimate(1.0), {"key": KEY})
        store.write("a", 1, "both", Estimate(1.0), {"key": KEY})
        store.consolidate()
        store.write("a", 1, "both", Estimate(2.0), {"key": KEY})
        store.write("a", 1, "new", Estimate(2.0), {"key": KEY})
        calls = {"count": 0}

        def cut(real):
            def wrapped(*args, **kwargs):
                calls["count"] += 1
                if calls["count"] == where + 1:
                    raise PowerCut
                return real(*args, **kwargs)

            return wrapped

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", cut(os.fsync))
            patch.setattr(os, "replace", cut(os.replace))
            patch.setattr(Path, "unlink", cut(Path.unlink))
            with pytest.raises(PowerCut):
                store.consolidate()
    read = load_results(tmp_path).runs[0].last.records
    assert {n: r.value for n, r in read.items()} == {"old": 1.0, "both": 2.0, "new": 2.0}
    with ResultStore(tmp_path) as store:
        store.consolidate()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["results.h5", "results.h5.lock"]
    read = load_results(tmp_path).runs[0].last.records
    assert {n: r.value for n, r in read.items()} == {"old": 1.0, "both": 2.0, "new": 2.0}


def test_half_written_files_are_ignored_and_cleared_away(tmp_path):
    small_results(tmp_path, consolidate=False)
    leftovers = [tmp_path / "results.h5.tmp", tmp_path / "results.h5.parts" / "0123.h5.tmp"]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 1.0
    with ResultStore(tmp_path):
        assert not any(leftover.exists() for leftover in leftovers)


def test_a_second_writer_is_told_which_process_is_writing(tmp_path):
    code = """
        import sys
        from landscape.store import ResultStore
        from landscape.errors import ResultsError
        try:
            ResultStore(sys.argv[1])
        except ResultsError as error:
            print(error)
    """
    with ResultStore(tmp_path) as store:
        assert f"process {os.getpid()} is writing" in run_python(code, tmp_path).stdout
        with pytest.raises(ResultsError, match=f"process {os.getpid()} is writing"):
            ResultStore(tmp_path)
    assert not (tmp_path / "results.h5.lock").exists()
    assert run_python(code, tmp_path).stdout == ""
    with pytest.raises(ResultsError, match="closed"):
        store.write("a", 1, "trace", Estimate(1.0), {})


def test_the_lock_of_a_dead_writer_does_not_bind(tmp_path):
    (tmp_path / "results.h5.lock").write_text("999999\n")
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {})


def test_a_full_disk_is_one_clear_error_and_loses_nothing(tmp_path):
    """A limit on file size stands in for the full disk. HDF5 left to itself crashes at some of these."""
    pytest.importorskip("resource")
    code = """
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from landscape.errors import ResultsError
        from landscape.results import Estimate
        from landscape.store import ResultStore, load_results

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        large = Estimate(2.0, samples=np.ones(100_000))

        def with_room(room, act):
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            try:
                act()
            except ResultsError as error:
                return str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

        for room in (100, 700, 3_000, 9_000, 20_000, 300_000, 800_000):
            folder = Path(sys.argv[1]) / str(room)
            folder.mkdir()
            with ResultStore(folder) as store:
                store.write("a", 1, "small", Estimate(1.0), {})
                first = with_room(room, lambda: store.write("a", 1, "large", large, {}))
                assert set(load_results(folder).runs[0].last.records) == {"small"}
                store.write("a", 1, "large", large, {})
                second = with_room(room, store.consolidate)
                assert set(load_results(folder).runs[0].last.records) == {"small", "large"}
            for said in (first, second):
                assert "cannot write" in said and "free some space" in said and "File too large" in said, said
            assert not list(folder.rglob("*.tmp"))
        print("all as it should be")
    """
    done = run_python(code, tmp_path)
    assert (done.returncode, done.stdout.strip()) == (0, "all as it should be"), done.stderr


def test_a_folder_that_cannot_be_written_is_reported_before_anything_is_measured(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        ResultStore(blocked / "results.h5")
    with pytest.raises(ResultsError, match="cannot write"):
        ResultStore(tmp_path / "nowhere" / "results.h5")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")
def test_a_read_only_folder_can_be_read_and_not_written(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    small_results(folder, consolidate=True)
    code = """
        import os, sys
        from landscape.errors import ResultsError
        from landscape.store import ResultStore, load_results
        if os.geteuid() == 0:
            os.setuid(65534)
        print(load_results(sys.argv[1]).runs[0].name)
        try:
            ResultStore(sys.argv[1])
        except ResultsError as error:
            print(error)
    """
    # The folders above belong to this test run alone; the other user must get through them.
    above = [p for p in folder.parents if len(p.parts) > 2 and p.stat().st_uid == os.getuid()]
    modes = {p: p.stat().st_mode for p in above}
    try:
        for p in above:
            p.chmod(p.stat().st_mode | 0o055)
        folder.chmod(0o555)
        done = run_python(code, folder)
    finally:
        for p, mode in modes.items():
            p.chmod(mode)
        folder.chmod(0o755)
    assert done.stdout.splitlines()[0] == "a", done.stderr
    assert "cannot write" in done.stdout


def test_a_reader_during_a_merge_sees_every_record(tmp_path, monkeypatch):
    """The journal is read first: what vanishes from it meanwhile is in the file opened after."""
    with ResultStore(tmp_path) as store:
        for i in range(4):
            store.write("a", 1, f"r{i}", Estimate(float(i)), {})
            if i == 0:
                store.consolidate()
        real, calls = files.reading, {"count": 0}

        def merging(path, **kwargs):
            calls["count"] += 1
            if calls["count"] == 2:
                monkeypatch.setattr(files, "reading", real)
                store.consolidate()
            return real(path, **kwargs)

        monkeypatch.setattr(files, "reading", merging)
        read = load_results(tmp_path)
    assert {n: r.value for n, r in read.runs[0].last.records.items()} == {f"r{i}": float(i) for i in range(4)}
