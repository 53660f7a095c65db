"""The tidy table says what the records say, each number with its kind of error; the dataset what the table says."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import landscape as ls
from landscape.errors import ResultsError
from landscape.results import Estimate, LineSlice, PointValue, Sharpness
from landscape.store import Results, ResultStore
from landscape.store.catalogue import MEASURES
from landscape.store.reading import reading_of
from landscape.store.tidy import COLUMNS
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results

STEPS = (10, 20)
#: These results were made without: test_stability_rows.py, test_along.py.
ALONG = {
    "stability_ratio", "critical_sharpness", "batch_sharpness", "directional_sharpness", "noise_scale",
    "gradient_share", "update_share", "distance_from_start", "distance_from_end",
}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return ls.load_results(make_results(tmp_path_factory.mktemp("results"), steps=STEPS, vectors=False))


@pytest.fixture(scope="module")
def frame(results) -> pd.DataFrame:
    return results.to_dataframe()


def cell(frame: pd.DataFrame, run: str, step: int, measure: str) -> pd.Series:
    (row,) = frame[(frame["run"] == run) & (frame["step"] == step) & (frame["measure"] == measure)].to_dict("records")
    return pd.Series(row)


def test_each_run_step_and_measure_has_one_row(frame, results):
    assert tuple(frame.columns) == COLUMNS
    assert not frame.duplicated(["run", "step", "measure"]).any()
    assert set(frame["run"]) == {run.name for run in results}
    last = frame[(frame["run"] == "sgd-s0") & (frame["step"] == 20)]
    assert set(last["measure"]) == set(MEASURES) - ALONG
    first = frame[(frame["run"] == "sgd-s0") & (frame["step"] == 10)]
    assert set(first["measure"]) == {
        "train_loss", "train_accuracy", "test_loss", "test_accuracy", "grad_norm", "lambda_max", "spectral_gap",
        "spectral_ratio",
    }  # fmt: skip
    assert (frame["seed"] == frame["run"].str[-1].astype(int)).all()
    assert (frame["label"] == frame["run"].str.partition("-")[0]).all()


def test_numbers_are_those_of_the_records_read_by_hand(frame, results):
    for run in results:
        for checkpoint in run:
            records = checkpoint.records
            top = cell(frame, run.name, checkpoint.step, "lambda_max")
            i = int(np.argmax(records["eigenpairs"].values))
            assert (top["value"], top["error"]) == (records["eigenpairs"].values[i], records["eigenpairs"].residuals[i])
            assert cell(frame, run.name, checkpoint.step, "train_loss")["value"] == records["point"].loss
            assert cell(frame, run.name, checkpoint.step, "test_accuracy")["value"] == records["test"].accuracy
        trace = cell(frame, run.name, 20, "trace")
        assert (trace["value"], trace["error"]) == (run[-1].trace.value, run[-1].trace.sem)
        worst = cell(frame, run.name, 20, "sharpness_worst")
        assert worst["value"] == max(run[-1].sharpness_worst.samples)
    assert not cell(frame, "sgd-s1", 20, "lambda_min")["converged"]
    assert cell(frame, "sgd-s1", 20, "lambda_max")["converged"]


def test_errors_are_of_their_kind_and_intervals_follow_from_it(frame):
    known = frame.dropna(subset="error_kind")
    kinds = {kind: set(rows["measure"]) for kind, rows in known.groupby("error_kind")}
    balls = ("sharpness_worst", "sharpness_adaptive_worst", "sharpness_normalized_worst", "sharpness_keskar")
    averages = {"sharpness_average", "sharpness_adaptive_average", "sharpness_normalized_average"}
    averages |= {"sharpness_relative_flatness", "sharpness_flatness_radius", "sharpness_flatness_radius_magnitude"}
    assert kinds == {
        "bound": {
            "lambda_max",
            "lambda_min",
            "spectral_gap",
            "spectral_ratio",
            "second_order_gain",
            "sharpness_fisher_rao",
        },
        "standard error": {"trace", *averages},
        "lower bound": {*balls},
    }
    bounds = frame[frame["error_kind"] == "bound"]
    np.testing.assert_allclose(bounds["high"] - bounds["value"], bounds["error"])
    np.testing.assert_allclose(bounds["value"] - bounds["low"], bounds["error"])
    means = frame[frame["error_kind"] == "standard error"]
    assert (means["high"] - means["low"] > 2 * 1.96 * means["error"]).all(), "Student's t is wider than the normal"
    least = frame[frame["error_kind"] == "lower bound"]
    assert least["error"].isna().all()
    assert (least["low"] == least["value"]).all()
    assert np.isposinf(least["high"]).all()
    assert frame.loc[frame["error_kind"].isna(), ["error", "low", "high"]].isna().all(axis=None)


def test_an_average_sharpness_has_the_interval_of_the_mean_of_its_samples():
    samples = np.array([1.0, 2.0, 3.0, 4.0])  # symmetric: no correction for skewness
    sem = samples.std(ddof=1) / 2
    found = Sharpness("average", 2.5, float(sem), "estimate", 0.05, 2.0, samples, True, 8, 0)
    reading = reading_of(found, converged=True)
    t = 3.182446305284263  # 97.5 % of Student's t with three degrees of freedom, from a table
    assert (reading.low, reading.high) == pytest.approx((2.5 - t * sem, 2.5 + t * sem))
    assert reading.reach == pytest.approx(t * sem)


def test_units_are_of_the_numbers_as_they_are_stored(frame):
    """An accuracy is a share here, though it is shown in percent; Keskar's sharpness is in percent."""
    units = frame.groupby("measure")["unit"].first()
    assert units["trace"] == "loss/parameter²"
    assert units["test_accuracy"] == ""
    assert frame.loc[frame["measure"] == "test_accuracy", "value"].between(0, 1).all()
    assert units["sharpness_keskar"] == "%"


def test_a_number_that_only_training_saved_is_marked(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe_checkpoint("a", 5, {"test_accuracy": 97.0, "train_loss": 0.3})
        store.write("a", 5, "point", PointValue(0.25, 0.1, 1.0), {})
    frame = ls.load_results(tmp_path).to_dataframe().set_index("measure")
    assert frame.loc["test_accuracy", ["value", "source"]].tolist() == [0.97, "saved"]
    assert frame.loc["train_loss", ["value", "source"]].tolist() == [0.25, "measured"]
    assert frame["seed"].isna().all()


def test_a_loss_that_is_not_a_number_has_a_row(tmp_path):
    """A run that diverged is part of the results; only JSON cannot say so."""
    with ResultStore(tmp_path) as store:
        store.write("a", 5, "point", PointValue(float("nan"), float("nan"), 1.0), {})
        store.write("a", 5, "trace", Estimate(float("nan"), sem=float("nan"), samples=np.full(3, np.nan)), {})
    frame = ls.load_results(tmp_path).to_dataframe().set_index("measure")
    assert frame["value"].isna().all()
    assert list(frame.index) == ["train_loss", "grad_norm", "trace"]


def test_any_name_may_stand_in_the_table(tmp_path):
    with ResultStore(tmp_path) as store:
        for name in NAMES:
            store.write(name, 1, "trace", Estimate(1.0), {})
    assert set(ls.load_results(tmp_path).to_dataframe()["run"]) == set(NAMES)


def test_each_pair_has_a_row_with_its_barrier(results):
    frame = results.pairs_to_dataframe()
    for pair, row in zip(results.pairs, frame.to_dict("records"), strict=True):
        chord = np.linspace(pair.record.loss[0], pair.record.loss[-1], len(pair.record.t))
        assert row["value"] == pytest.approx((pair.record.loss - chord).max())
        assert (row["run_a"], row["run_b"], row["error_kind"]) == (pair.run_a, pair.run_b, "lower bound")
        assert (row["label_a"], row["seed_b"]) == (pair.run_a.split("-")[0], int(pair.run_b[-1]))


# --- the dataset --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset(results):
    pytest.importorskip("xarray")
    return results.to_xarray()


def test_the_dataset_has_the_numbers_of_the_table(dataset, frame):
    seen = 0
    for row in frame.to_dict("records"):
        at = {"run": row["run"], "step": row["step"]}
        assert float(dataset[row["measure"]].sel(at)) == row["value"]
        for part in ("error", "low", "high"):
            name = f"{row['measure']}_{part}"
            if name in dataset:
                np.testing.assert_equal(float(dataset[name].sel(at)), row[part])
            else:
                assert np.isnan(row[part])
        assert bool(dataset[f"{row['measure']}_converged"].sel(at)) == row["converged"]
        seen += 1
    assert int(sum(dataset[key].notnull().sum() for key in MEASURES if key not in ALONG)) == seen, "and none besides"
    assert dataset["trace"].attrs == {
        "long_name": "trace", "units": "loss/parameter²", "error_kind": "standard error",
    }  # fmt: skip


def test_spectra_and_slices_are_those_of_the_records(dataset, results):
    for run in results:
        here, last = dataset.sel(run=run.name, step=20), run[-1]
        np.testing.assert_array_equal(here["largest_eigenvalues"], np.sort(last.eigenpairs.values)[::-1][:5])
        np.testing.assert_array_equal(here["smallest_eigenvalues"], np.sort(last.eigenpairs.values)[:5])
        np.testing.assert_array_equal(here["density_nodes"], last.density.nodes)
        np.testing.assert_array_equal(here["density_weights"], last.density.weights)
        np.testing.assert_array_equal(here["plane_loss"], last.plane.loss)
        line = here["line_eigenvector_1_loss"]
        np.testing.assert_array_equal(line, last.line_eigenvector_1.loss)
        np.testing.assert_array_equal(line["line_eigenvector_1_t"], last.line_eigenvector_1.t)
        early = dataset.sel(run=run.name, step=10)
        assert early["density_nodes"].isnull().all()
        assert int(early["largest_eigenvalues"].notnull().sum()) == 2
    assert "left_out" not in dataset.attrs


def test_barriers_are_the_same_both_ways(dataset, results):
    barrier = dataset["barrier"]
    for pair in results.pairs:
        assert float(barrier.sel(run=pair.run_a, other_run=pair.run_b)) == pair.record.barrier
    np.testing.assert_array_equal(barrier.values, barrier.values.T)


def test_where_the_numbers_come_from_travels_along(dataset, results, tmp_path):
    assert json.loads(dataset.attrs["versions"]) == results.info["versions"]
    assert json.loads(dataset.attrs["plan"])["trace_probes"] == 32
    assert json.loads(dataset.attrs["objectives"])["sgd-s0"]["problem"] == "lenet-digits"
    import xarray

    dataset.to_netcdf(tmp_path / "results.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "results.nc", engine="scipy") as read:
        np.testing.assert_array_equal(read["trace"], dataset["trace"])
        assert read.attrs["plan"] == dataset.attrs["plan"]


def test_slices_over_other_points_are_left_out_and_named(tmp_path):
    pytest.importorskip("xarray")
    with ResultStore(tmp_path) as store:
        for run, radius in (("a", 1.0), ("b", 2.0)):
            t = np.linspace(-radius, radius, 5)
            store.write(run, 1, "line_random_0", LineSlice(t, t**2, "d", 1.0), {})
            store.write(run, 1, "line_random_1", LineSlice(t / radius, t**2, "d", 1.0), {})
    dataset = ls.load_results(tmp_path).to_xarray()
    assert "line_random_0_loss" not in dataset
    assert dataset.attrs["left_out"] == "line_random_0"
    np.testing.assert_array_equal(dataset["line_random_1_loss"].sel(run="b", step=1), [4, 1, 0, 1, 4])


def test_without_xarray_one_is_told_what_to_install(results, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ResultsError, match=r"pip install landscape-curvature\[xarray\]"):
        results.to_xarray()


def test_a_reading_of_a_plain_object_needs_no_results():
    point = SimpleNamespace(step=0, metrics={}, records={"trace": Estimate(2.0, bound=0.5)})
    assert MEASURES["trace"].read(point).high == 2.5
