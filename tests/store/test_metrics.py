"""One place says how a saved metric is read, and how far it may be from what was measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import landscape as ls
from landscape import tables
from landscape.results import Evaluation, PointValue
from landscape.rounding import same_number
from landscape.store import ResultStore, load_results, rows
from landscape.store.metrics import class_accuracies, mismatches, read_metric


def stored(folder, metrics, *, test=None, point=0.5, info=None):
    """One run with one checkpoint: what training saved, and what was measured."""
    with ResultStore(folder) as store:
        store.describe_run("a", {"config": {"optimizer": "sgd"}, **(info or {})})
        store.describe_checkpoint("a", 3, metrics)
        store.write("a", 3, "point", PointValue(point, 0.1, 1.0), {})
        if test is not None:
            store.write("a", 3, "test", test, {})
    return load_results(folder)


@pytest.mark.parametrize("odd", ["text", [1.0], {"a": 1}, True, None, math.nan, 10**400])
def test_what_is_no_number_is_none_and_stops_nothing(tmp_path, odd):
    names = ("train_loss", "test_loss", "test_accuracy", "grad_norm", "accuracy_per_class")
    with ResultStore(tmp_path) as store:
        store.describe_run("a", {})
        store.describe_checkpoint("a", 3, dict.fromkeys(names, odd))
        store.write("a", 3, "gap", ls.spectral_gap(ls.top_eigenpairs(ls.MatrixOperator(np.eye(3)), 2)), {})
    results = load_results(tmp_path)
    assert all(read_metric(results.runs[0].last, name).value is None for name in names[:-1])
    accuracies, _ = class_accuracies(results.runs[0].last)
    assert accuracies is None or accuracies.tolist() == [1.0]
    (row,) = json.loads(json.dumps(rows(results), allow_nan=False))
    assert row["train_loss"] is row["test_accuracy_source"] is row["warning"] is None
    assert tables.caption_lines(results)


@pytest.mark.parametrize(
    ("saved", "shown", "odd"),
    [
        (0.9, 0.9, None),
        (1, 1, None),
        (90, 0.9, "read as percent"),
        (250, None, "no accuracy"),
        (-1, None, "no accuracy"),
    ],
)
def test_an_accuracy_that_was_not_measured_is_shown_as_a_share_or_not_at_all(tmp_path, saved, shown, odd):
    (row,) = rows(stored(tmp_path, {"test_accuracy": saved}))
    assert row["test_accuracy"] == shown
    assert (odd in row["warning"]) if odd else row["warning"] is None


@pytest.mark.parametrize(
    ("saved", "right"),
    [
        (0.5, True), (0.5004, True), (0.500001, True), (0.501, False), (0.52, False), (123, False), (0, False),
        (math.inf, False), (0.5 * (1 + 2**-20), True),
    ],
)  # fmt: skip
def test_a_saved_loss_differs_beyond_rounding_or_not_at_all(tmp_path, saved, right):
    results = stored(tmp_path, {"train_loss": saved}, point=0.5)
    assert (mismatches(results.runs[0].last, {}) == []) == right


def test_a_saved_number_may_be_rounded_to_the_digits_it_has():
    assert same_number(0.33, 1 / 3)
    assert same_number(97.35, 97.3529)
    assert not same_number(0.32, 1 / 3)
    assert not same_number(0.0, 0.04)  # one decimal says nothing
    assert not same_number(1.0, 0.96)
    assert same_number(2e-8, 3e-7)  # both are rounding
    assert not same_number(math.nan, 0.5)
    assert same_number(math.inf, math.inf)


def test_one_example_at_the_border_of_two_classes_is_no_mismatch(tmp_path):
    one_off = stored(tmp_path / "a", {"test_accuracy": 9 / 10}, test=Evaluation(0.5, 10, 0.8))
    assert mismatches(one_off.runs[0].last, {}) == []
    two_off = stored(tmp_path / "b", {"test_accuracy": 1.0}, test=Evaluation(0.5, 10, 0.8))
    assert [str(found) for found in mismatches(two_off.runs[0].last, {})] == ["test_accuracy: saved 1, measured 0.8"]


@pytest.mark.parametrize("info", [{"num_examples": 50, "of_examples": 200}, {"mode": "train"}])
def test_a_loss_on_other_examples_or_in_another_mode_is_not_held_against_the_saved_one(tmp_path, info):
    results = stored(tmp_path, {"train_loss": 0.7}, point=0.5, info=info)
    (row,) = rows(results)
    assert (row["train_loss"], row["warning"]) == (0.5, None)


def test_a_measured_loss_that_is_not_finite_is_missing_and_not_replaced_by_the_saved_one(tmp_path):
    (row,) = rows(stored(tmp_path, {"train_loss": 0.7}, point=math.nan))
    assert (row["train_loss"], row["train_loss_source"]) == (None, "measured")
    assert row["warning"] == "train_loss: saved 0.7, measured not a number"


def test_saved_class_accuracies_in_percent_are_shares(tmp_path):
    last = stored(tmp_path, {"accuracy_per_class": [90.0, None, 100.0]}).runs[0].last
    accuracies, source = class_accuracies(last)
    assert source == "saved"
    assert accuracies == pytest.approx([0.9, math.nan, 1.0], nan_ok=True)
