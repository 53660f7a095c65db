"""Files that are written whole or not at all, also by several writers in one folder."""

from __future__ import annotations

from contextlib import contextmanager

from landscape.store import outputs
from landscape.store.outputs import write_whole


def test_two_writers_with_one_process_number_do_not_meet(tmp_path, monkeypatch):
    """As in two containers that share a folder, where the numbers of processes are often the same."""
    replacing = outputs.replacing

    @contextmanager
    def with_another_in_between(path, temporary):
        with replacing(path, temporary) as stream:
            if path.name == "a.csv":
                write_whole(tmp_path / "b.csv", "of b")
            yield stream

    monkeypatch.setattr(outputs, "replacing", with_another_in_between)
    write_whole(tmp_path / "a.csv", "of a")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "of a", "b.csv": "of b"}
