"""What an earlier plan or question measured is kept, and not shown beside the answers to the last one."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.results import Estimate, PointValue, Record
from landscape.store import ResultStore, describe_results, load_results
from tests.support.synthetic_results import interpolation


def test_what_is_set_aside_is_kept_and_not_shown_until_it_is_measured_again(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("a", "b"):
            for step in (1, 2):
                store.write(run, step, "trace", Estimate(float(step)), {})
        store.write_pair("a", "b", interpolation(np.random.default_rng(0), 0.0), {})
        store.describe({"set_aside": {"a": [1], "b": [1, 2]}})
        store.consolidate()
        shown, everything = load_results(tmp_path), load_results(tmp_path, everything=True)
        assert [(r.name, [c.step for c in r.checkpoints]) for r in shown.runs] == [("a", [2])]
        assert shown.pairs == ()
        assert [(r.name, [c.step for c in r.checkpoints]) for r in everything.runs] == [("a", [1, 2]), ("b", [1, 2])]
        assert [pair.record.loss.size > 0 for pair in everything.pairs] == [True]
        assert ("also kept", "3 checkpoints of a, b: gone, or outside the last plan, and so not shown") in dict(
            describe_results(tmp_path)
        )["results"]
        store.write("b", 1, "trace", Estimate(5.0), {})
        assert [(r.name, [c.step for c in r.checkpoints]) for r in load_results(tmp_path).runs] == [
            ("a", [2]),
            ("b", [1]),
        ]


@pytest.mark.parametrize("odd", ["text", ["a"], {"a": 1}, {"a": ["x", None]}, {"a": {"1": 2}}, None])
def test_an_odd_list_of_what_is_set_aside_hides_nothing(tmp_path, odd):
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(1.0), {})
        store.describe({"set_aside": odd})
        store.consolidate()
    assert [c.step for c in load_results(tmp_path).run("a").checkpoints] == [1]


def test_records_that_an_earlier_question_left_do_not_stand_beside_answers_to_the_last(tmp_path):
    def key(objective: str, fields: dict) -> dict:
        return {"key": {"objective": objective, "params": "p", "version": 2, "fields": fields}}

    def of(name: str, value: float) -> Record:
        return PointValue(value, 1.0, 1.0) if name == "point" else Estimate(value)

    with ResultStore(tmp_path) as store:
        for name in ("point", "trace", "average_0", "average_1"):
            store.write("a", 1, name, of(name, 1.0), key("all examples", {}))
        for name in ("point", "trace", "average_0"):
            store.write("a", 1, name, of(name, 2.0), key("64 examples", {"points": 5}))
        store.consolidate()
    shown = load_results(tmp_path).run("a").last
    assert shown.records["point"].loss == 2.0
    assert {name: record.value for name, record in shown.records.items() if name != "point"} == {
        "trace": 2.0, "average_0": 2.0,
    }  # fmt: skip
    assert set(shown.provenance) == set(shown.records)
    kept = load_results(tmp_path, everything=True).run("a").last.records
    assert kept["average_1"].value == 1.0


def test_a_line_between_other_minima_than_those_shown_is_not_shown(tmp_path):
    def at(params: str) -> dict:
        return {"key": {"objective": "o", "params": params}}

    with ResultStore(tmp_path) as store:
        for run in ("a", "b"):
            store.write(run, 1, "point", PointValue(1.0, 1.0, 1.0), at(f"{run}1"))
        line = interpolation(np.random.default_rng(0), 0.0)
        store.write_pair("a", "b", line, {"key": {"params": ["a1", "b1"]}})
        assert len(load_results(tmp_path).pairs) == 1
        store.write_pair("a", "b", line, {"key": {"params": ["a0", "b1"]}})
        assert load_results(tmp_path).pairs == ()
        assert len(load_results(tmp_path, everything=True).pairs) == 1
