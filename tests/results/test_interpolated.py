"""What a slice says of the evaluations that it took, and that older records say nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from landscape.results import LineSlice
from landscape.results.interpolated import error_of_range, evaluation_sentence, evaluation_words, is_interpolated
from landscape.store import files, load_results

LINE = LineSlice(np.linspace(-1, 1, 5), np.array([4.0, 1.0, 0.0, 1.0, 4.0]), "e", 1.0)
FEW = replace(LINE, error=0.02, num_evaluations=3)


def test_the_error_is_told_as_a_share_of_the_range_and_rounded_up():
    assert error_of_range(FEW) == pytest.approx(0.005)
    assert evaluation_words(FEW) == "from 3 evaluations, error ≤ 0.5 % of the range"
    assert "from 3 evaluations" in str(FEW)


def test_where_every_point_was_evaluated_nothing_is_said_but_a_reason():
    for every in (LINE, replace(LINE, num_evaluations=5), replace(LINE, num_evaluations=8, reason="for a reason")):
        assert not is_interpolated(every)
        assert evaluation_words(every) == evaluation_sentence([every]) == ""
        assert ("for a reason" in str(every)) == bool(every.reason)


def test_several_slices_are_told_of_in_one_sentence_with_the_worst_error():
    said = evaluation_sentence([LINE, FEW, replace(FEW, error=0.08, num_evaluations=4)])
    assert "at 3 to 4 points each" in said
    assert "at most 2 % of its range" in said


def test_a_flat_slice_has_no_range_to_be_a_share_of():
    flat = replace(FEW, loss=np.ones(5))
    assert np.isnan(error_of_range(flat))
    assert "unknown" in evaluation_words(flat)
    assert error_of_range(replace(flat, error=0.0)) == 0


def test_slices_of_older_files_are_read_as_evaluated_at_every_point(tmp_path):
    """Their records hold neither an error nor a number of evaluations."""
    path = tmp_path / "results.h5"
    fields = {"direction": "e", "step_norm": 1.0, "kind": "direction"}
    with files.writing(path) as file:
        group = file.create_group("runs/a/steps/00000001/records/line_random_0")
        group.create_dataset("t", data=LINE.t)
        group.create_dataset("loss", data=LINE.loss)
        facts = {"class": "LineSlice", "fields": fields, "arrays": ["t", "loss"], "records": []}
        group.create_dataset("record", data=json.dumps(facts))
        group.create_dataset("provenance", data="{}")
    read = load_results(path).runs[0].last.records["line_random_0"]
    assert isinstance(read, LineSlice)
    assert (read.error, read.num_evaluations, read.reason) == (0.0, 0, "")
    assert not is_interpolated(read)
