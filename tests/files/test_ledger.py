"""A file that only grows: cut anywhere, damaged anywhere, it gives what holds, and goes on."""

from __future__ import annotations

import pytest

from landscape.files import Held, Ledger
from landscape.files import ledger as module

ENTRIES = {"one": b"1", "two": bytes(range(200)), "": b"", "δ": b"\0\n\0"}


def written(path, entries=ENTRIES, question="q", most=2**20) -> bytes:
    with Ledger(path, question, most=most) as ledger:
        for name, content in entries.items():
            ledger.put(name, content)
    return path.read_bytes()


def held(path, question="q") -> dict[str, bytes]:
    with Ledger(path, question, most=2**20) as ledger:
        return {name: ledger.get(name) for name in ENTRIES if name in ledger}


def test_what_was_put_is_found_again_and_nothing_else(tmp_path):
    written(tmp_path / "deep" / "x")
    assert held(tmp_path / "deep" / "x") == ENTRIES
    assert [file.name for file in (tmp_path / "deep").iterdir()] == ["x"]


def test_cut_at_any_byte_it_holds_the_entries_before_and_takes_more(tmp_path):
    path, names = tmp_path / "x", list(ENTRIES)
    whole, seen = written(path), set()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        found = held(path)
        assert list(found) == names[: len(found)]
        assert all(found[name] == ENTRIES[name] for name in found)
        seen.add(len(found))
        written(path)
        assert held(path) == ENTRIES
    assert seen == {0, 1, 2, 3, 4}


def test_nothing_from_the_first_changed_byte_on_is_believed(tmp_path):
    path = tmp_path / "x"
    whole = written(path)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(bytes(changed))
        found = held(path)
        assert len(found) < len(ENTRIES)
        assert all(found[name] == ENTRIES[name] for name in found)


def test_entries_of_another_question_are_replaced_and_none_is_moved_between_files(tmp_path):
    path, other = tmp_path / "x", tmp_path / "y"
    whole = written(path)
    assert held(path, "another") == {}
    beginning = written(other, {"one": b"2"})
    other.write_bytes(beginning + whole[len(written(tmp_path / "z", {"one": b"1"})) :])
    assert held(other) == {"one": b"2"}


def test_what_does_not_fit_is_not_kept_and_that_is_said(tmp_path):
    with Ledger(tmp_path / "x", "q", most=10) as ledger:
        ledger.put("a", b"12345678")
        assert ledger.fault == ""
        ledger.put("b", b"123")
        ledger.put("c", b"")
        assert "more than" in ledger.fault
        assert [name in ledger for name in "abc"] == [True, False, False]


def test_a_full_disk_ends_the_keeping_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "EVERY", 0.0)
    with Ledger(tmp_path / "x", "q", most=2**20) as ledger:
        ledger.put("a", b"1")

        def full(handle, content):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(module.os, "write", full)
            ledger.put("b", b"2")
        assert ledger.fault == "no space left on the disk"
        assert (ledger.get("a"), ledger.get("b")) == (b"1", b"2")
        ledger.put("c", b"3")
        assert "c" not in ledger


def test_entries_are_on_disk_when_a_second_has_passed(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    path = tmp_path / "x"
    with Ledger(path, "q", most=2**20) as ledger:
        ledger.put("a", b"1")
        assert not path.exists()
        now[0] = 1.0
        ledger.put("b", b"2")
        size = path.stat().st_size
        ledger.put("c", b"3")
        assert path.stat().st_size == size
    assert path.stat().st_size > size


def test_one_writer_at_a_time(tmp_path):
    with Ledger(tmp_path / "x", "q", most=9), pytest.raises(Held):
        Ledger(tmp_path / "x", "q", most=9)


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "target").write_text("mine")
    (tmp_path / "x").symlink_to(tmp_path / "target")
    with Ledger(tmp_path / "x", "q", most=9) as ledger:
        ledger.put("a", b"1")
        ledger.flush()
        assert ledger.fault
    assert (tmp_path / "target").read_text() == "mine"
