"""Rows hold what the records hold, in the promised columns and in strict JSON."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from landscape.results import Estimate, PointValue, SpectralGap
from landscape.store import ResultStore, load_results
from landscape.tables import final_rows, rows
from tests.support.synthetic_results import eigenpairs, sharpness
from tests.support.tables import PROMISED, one_run, printed


def test_rows_have_the_promised_columns_in_the_promised_order(results):
    for row in rows(results):
        assert list(row) == PROMISED


def test_there_is_a_row_per_run_and_analysed_checkpoint(results, tmp_path):
    assert [(r["run"], r["step"]) for r in rows(results)] == [
        (r.name, c.step) for r in results.runs for c in r.checkpoints
    ]
    assert [(r["run"], r["step"]) for r in final_rows(results)] == [(run.name, 1344) for run in results.runs]
    with ResultStore(tmp_path) as store:
        store.describe_checkpoint("a", 5, {"train_loss": 1.0})  # described, nothing measured
        store.write("a", 3, "trace", Estimate(1.0), {})
        store.describe_run("b", {})
    read = load_results(tmp_path)
    assert [(r["run"], r["step"]) for r in rows(read)] == [("a", 3)]
    assert [(r["run"], r["step"]) for r in final_rows(read)] == [("a", 3)]


def test_rows_hold_what_the_records_hold(results):
    run = results.runs[0]
    row, records = final_rows(results)[0], run.last.records
    assert (row["run"], row["optimizer"], row["seed"]) == ("adam-s0", "adam", 0)
    assert row["lambda_max"] == records["eigenpairs"].values[0]
    assert row["lambda_max_residual"] == records["eigenpairs"].residuals[0]
    assert row["lambda_min"] == records["eigenpairs"].values[-1] < 0
    assert (row["spectral_gap"], row["spectral_ratio"]) == (records["gap"].value, records["gap"].ratio.value)
    assert (row["trace"], row["trace_sem"]) == (records["trace"].value, records["trace"].sem)
    assert row["sharpness_adaptive_worst"] == records["sharpness_adaptive_worst"].value
    assert row["grad_norm"] == records["point"].grad_norm
    assert (row["train_loss"], row["test_accuracy"]) == (
        run.last.metrics["train_loss"],
        run.last.metrics["test_accuracy"],
    )
    assert row["matvecs"] == sum(p["matvecs"] for p in run.last.provenance.values())
    assert row["seconds"] == pytest.approx(sum(p["seconds"] for p in run.last.provenance.values()))


def test_missing_and_infinite_numbers_are_null_in_strict_json(tmp_path):
    nan, inf = float("nan"), float("inf")
    records = {
        "point": PointValue(nan, inf, 1.0),
        "gap": SpectralGap(Estimate(nan, bound=nan), Estimate(inf, bound=inf)),
        "trace": Estimate(-inf, sem=nan),
        "sharpness_worst": dataclasses.replace(
            sharpness(np.random.default_rng(0), 1.0, True)["sharpness_worst"], value=nan
        ),
    }
    read = one_run(tmp_path, records, metrics={"train_loss": nan, "test_loss": inf})
    (row,) = json.loads(json.dumps(rows(read), allow_nan=False))
    numbers = PROMISED[PROMISED.index("train_loss") : PROMISED.index("converged")]
    assert {row[name] for name in [*numbers, "second_order_gain", "test_loss_source", "warning"]} == {None}
    assert row["train_loss_source"] == "measured"
    assert "null" in json.dumps(rows(read), allow_nan=False)
    assert printed(read, 100)


def test_an_end_of_the_spectrum_that_was_not_looked_for_is_missing(tmp_path):
    rng = np.random.default_rng(0)
    both = eigenpairs(rng, 10.0, which="both", k=2)
    cases = {
        "both": (both, 10.0, both.values[-1]),
        "largest": (eigenpairs(rng, 10.0, which="largest", k=2), 10.0, None),
        "smallest": (dataclasses.replace(both, which="smallest"), None, both.values[-1]),
        "magnitude": (dataclasses.replace(both, which="magnitude"), 10.0, both.values[-1]),
        "above": (dataclasses.replace(both, which="magnitude", values=np.abs(both.values)), 10.0, None),
        "below": (dataclasses.replace(both, which="magnitude", values=-np.abs(both.values)), None, -10.0),
    }
    for name, (eigs, top, bottom) in cases.items():
        (tmp_path / name).mkdir()
        (row,) = rows(one_run(tmp_path / name, {"eigenpairs": eigs}))
        assert (row["lambda_max"], row["lambda_min"]) == (top, bottom), name


def test_a_row_is_converged_only_if_every_record_of_it_is(results):
    assert [r["converged"] for r in final_rows(results)] == [True] * 5 + [False]
    assert all(r["converged"] is True for r in rows(results) if r["step"] < 1344)


def test_loss_and_gradient_come_from_the_other_source_where_one_is_missing(tmp_path):
    (row,) = rows(one_run(tmp_path, {"trace": Estimate(1.0)}, metrics={"grad_norm": 0.25}))
    assert (row["grad_norm"], row["train_loss"]) == (0.25, None)
    (tmp_path / "b").mkdir()
    (row,) = rows(one_run(tmp_path / "b", {"point": PointValue(0.5, 0.125, 1.0)}, metrics={"grad_norm": 9.0}))
    assert (row["grad_norm"], row["train_loss"]) == (0.125, 0.5)
