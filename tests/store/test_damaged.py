"""Results that are damaged, foreign, too new or not there are refused in one line; a damaged part is passed over."""

from __future__ import annotations

import h5py
import pytest

from landscape.errors import ResultsError
from landscape.results import Estimate
from landscape.store import ResultStore, files, load_results
from tests.support.stores import KEY, small_results


def damaged_copies(data: bytes) -> list[bytes]:
    """The file cut at many places, and with one bit turned at many places."""
    cuts = [data[:n] for n in {0, 1, 7, 18, 19, 511, 512, 600, len(data) // 2, len(data) - 1}]
    flips = []
    for at in [*range(0, 100, 9), *range(512, len(data), len(data) // 60)]:
        flipped = bytearray(data)
        flipped[at] ^= 1 << (at % 8)
        flips.append(bytes(flipped))
    return cuts + flips


def test_a_results_file_with_one_bit_turned_or_cut_short_is_refused_in_one_line(tmp_path):
    path = small_results(tmp_path, consolidate=True)
    for damaged in damaged_copies(path.read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(ResultsError) as caught:
            load_results(path)
        message = str(caught.value)
        assert message.count("\n") == 0
        assert str(path) in message
        assert "move" in message
        with pytest.raises(ResultsError):
            ResultStore(path)
    assert not (tmp_path / "results.h5.lock").exists()


def test_a_damaged_file_of_the_journal_is_passed_over_and_its_record_not_found(tmp_path):
    part = small_results(tmp_path, consolidate=False)
    data = part.read_bytes()
    for damaged in damaged_copies(data)[::5]:
        part.write_bytes(damaged)
        assert [(r.name, r.optimizer, r.checkpoints) for r in load_results(tmp_path).runs] == [("a", "adam", ())]
        with ResultStore(tmp_path) as store:
            assert store.find("a", 1, "trace", KEY) is None
    part.write_bytes(data)
    with ResultStore(tmp_path) as store:
        assert store.find("a", 1, "trace", KEY).value == 1.0
        part.write_bytes(damaged)
        store.consolidate()
        store.write("a", 1, "trace", Estimate(2.0), {"key": KEY})
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 2.0


def test_a_foreign_hdf5_file_is_refused(tmp_path):
    path = tmp_path / "results.h5"
    with h5py.File(path, "w") as file:
        file["runs"] = 1
    with pytest.raises(ResultsError, match="not a file of landscape results"):
        load_results(path)


def test_a_newer_format_is_refused_and_says_to_upgrade(tmp_path, monkeypatch):
    with monkeypatch.context() as future:
        future.setattr(files, "FORMAT_VERSION", 3)
        path = small_results(tmp_path, consolidate=True)
        part = small_results(tmp_path / "journal", consolidate=False)
    for newer in (path, part.parent.parent):
        with pytest.raises(ResultsError, match="version 3.*upgrade"):
            load_results(newer)


def test_no_results_are_reported_with_the_command_that_makes_them(tmp_path):
    for path in (tmp_path, tmp_path / "results.h5", tmp_path / "nowhere" / "results.h5"):
        with pytest.raises(ResultsError, match="landscape analyze"):
            load_results(path)
