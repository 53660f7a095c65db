"""What is written is found under its own key alone, the newest wins, and consolidating leaves nothing out."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.results import Estimate
from landscape.store import ResultStore, load_results
from tests.support.stores import KEY
from tests.support.synthetic_results import interpolation


def test_a_record_is_found_only_under_exactly_its_key(tmp_path):
    with ResultStore(tmp_path) as store:
        store.write("run", 5, "trace", Estimate(2.0), {"key": KEY, "seconds": 1.0})
        store.write("run", 5, "no key", Estimate(2.0), {"seconds": 1.0})
        for _ in ("in the journal", "in results.h5"):
            assert store.find("run", 5, "trace", KEY).value == 2.0
            assert store.find("run", 5, "trace", dict(reversed(KEY.items()))) is not None
            assert store.find("run", 5, "trace", {**KEY, "tol": 1.0000000000000002e-3}) is None
            assert store.find("run", 5, "trace", {**KEY, "more": 1}) is None
            assert store.find("run", 5, "trace", {k: KEY[k] for k in ("tol", "seed")}) is None
            for other in (("run", 6, "trace"), ("ru", 5, "trace"), ("run", 5, "trac"), ("run", 5, "no key")):
                assert store.find(*other, KEY) is None
            store.consolidate()


def test_the_newest_write_wins_and_a_superseded_key_is_not_found(tmp_path):
    with ResultStore(tmp_path) as store:
        store.write("run", 5, "trace", Estimate(1.0), {"key": {"v": 1}})
        store.consolidate()
        store.write("run", 5, "trace", Estimate(2.0), {"key": {"v": 2}})
        assert store.find("run", 5, "trace", {"v": 1}) is None
        store.write("run", 5, "trace", Estimate(3.0), {"key": {"v": 3}})
        assert load_results(tmp_path).runs[0].last.records["trace"].value == 3.0
        store.consolidate()
        assert store.find("run", 5, "trace", {"v": 3}).value == 3.0
    assert load_results(tmp_path).runs[0].last.records["trace"].value == 3.0


ODD_NAMES = ["lenet/adam-s0", ".", "..", "", "a b", "ä/ö%2F", "info", "steps", "x" * 300, "\udcff"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_any_name_of_a_run_or_record_is_safe(tmp_path, name):
    with ResultStore(tmp_path) as store:
        store.describe_run(name, {"optimizer": "adam"})
        store.describe_run("other", {"optimizer": "sgd"})
        store.write(name, 3, name, Estimate(7.0), {"key": KEY})
        store.write_pair(name, "other", interpolation(np.random.default_rng(0), 1.0), {"key": KEY})
        store.consolidate()
        assert store.find(name, 3, name, KEY).value == 7.0
        assert store.find_pair(name, "other", KEY) is not None
        assert store.find_pair("other", name, KEY) is None
    read = load_results(tmp_path)
    assert {run.name for run in read.runs} == {name, "other"}
    assert read.run(name).optimizer == "adam"
    assert dict(read.run(name).last.records).keys() == {name}
    assert (read.pairs[0].run_a, read.pairs[0].run_b) == (name, "other")


def test_descriptions_and_metrics_come_back_with_nan_and_infinity(tmp_path):
    info = {"loss": float("nan"), "top": float("inf"), "list": [1, 2.5, None, True], "P": np.int64(3), "per": np.eye(2)}
    with ResultStore(tmp_path) as store:
        store.describe(info)
        store.describe_run("a", {"config": {"optimizer": "adam", "seed": 3}})
        store.describe_checkpoint("a", 2, {"train_loss": 0.5})
        store.describe_checkpoint("a", 10, {"train_loss": 0.25})
        store.consolidate()
    read = load_results(tmp_path)
    assert np.isnan(read.info["loss"])
    assert read.info["top"] == float("inf")
    assert (read.info["list"], read.info["P"], read.info["per"]) == ([1, 2.5, None, True], 3, [[1.0, 0.0], [0.0, 1.0]])
    run = read.run("a")
    assert (run.optimizer, run.seed) == ("adam", 3)
    assert [(c.step, c.metrics) for c in run.checkpoints] == [(2, {"train_loss": 0.5}), (10, {"train_loss": 0.25})]


def test_consolidating_leaves_nothing_out(tmp_path):
    with ResultStore(tmp_path) as store:
        for run in ("a", "b", "c"):
            store.describe_run(run, {})
            for step in (1, 2, 3):
                store.describe_checkpoint(run, step, {})
                store.write(run, step, "trace", Estimate(1.0), {})
        for pair in (("a", "b"), ("a", "c")):
            store.write_pair(*pair, interpolation(np.random.default_rng(0), 0.0), {})
        store.consolidate()
        store.describe({})
        store.write("a", 2, "trace", Estimate(2.0), {})
        store.consolidate()
        assert store.steps() == {run: [1, 2, 3] for run in ("a", "b", "c")}
    read = load_results(tmp_path)
    assert [(r.name, [c.step for c in r.checkpoints]) for r in read.runs] == [(r, [1, 2, 3]) for r in "abc"]
    assert [c.records["trace"].value for c in read.run("a").checkpoints] == [1.0, 2.0, 1.0]
    assert [(p.run_a, p.run_b) for p in read.pairs] == [("a", "b"), ("a", "c")]
