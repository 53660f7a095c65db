"""Means and intervals of groups against an independent route, their coverage measured, and their table."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import (
    cells,
    compare,
    comparison_table,
    pivot,
)  # fmt: skip
from landscape.results import Estimate
from landscape.statistics import geometric_interval, mean_interval
from landscape.store import ResultStore, final_rows, load_results
from tests.support.comparisons import by_group, store_runs


def test_means_and_intervals_agree_with_scipy(folder):
    frame = compare(folder)
    rows = final_rows(load_results(folder))
    linear, factors = ["mean", "low", "high", "std"], ["gmean", "gmean_low", "gmean_high", "gstd"]
    assert list(frame.columns) == ["group", "measure", "n", *linear, "scale", *factors]
    for group in ("adam", "momentum", "sgd"):
        for measure in ("lambda_max", "trace", "test_accuracy", "sharpness_adaptive_average"):
            values = [row[measure] for row in rows if row["optimizer"] == group]
            line = by_group(frame, measure).loc[group]
            expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
            assert (line["n"], line["mean"]) == (3, pytest.approx(np.mean(values), rel=1e-12))
            assert (line["low"], line["high"]) == pytest.approx((expected.low, expected.high), rel=1e-9)
            assert line["std"] == pytest.approx(np.std(values, ddof=1))
            if measure == "test_accuracy":
                assert line["scale"] == "linear"
                assert np.isnan(line[factors].to_numpy(float)).all()
                continue
            expected = stats.ttest_1samp(np.log(values), 0.0).confidence_interval(0.95)
            assert line["scale"] == "log"
            assert line["gmean"] == pytest.approx(stats.gmean(values), rel=1e-12)
            assert (line["gmean_low"], line["gmean_high"]) == pytest.approx(np.exp(expected), rel=1e-9)
            assert line["gstd"] == pytest.approx(stats.gstd(values), rel=1e-9)


def test_a_positive_measure_has_no_interval_below_zero_and_one_with_a_negative_value_stays_linear(tmp_path):
    """λ_max of 2, 9 and 16 is no 9 ± 17."""
    wide = [(f"a{s}", {"optimizer": "a", "seed": s}, value) for s, value in enumerate((2.0, 9.0, 16.0))]
    frame = compare(store_runs(tmp_path / "positive", wide))
    line = by_group(frame).loc["a"]
    assert line["low"] < 0 < line["gmean_low"] < line["gmean"] < line["mean"]
    factor = np.exp(stats.t.ppf(0.975, 2) * np.std(np.log([2, 9, 16]), ddof=1) / np.sqrt(3))
    assert dict(cells(frame)[1])["trace"] == [f"6.6 ×/÷ {factor:.2g}"]
    below = [*wide, ("b0", {"optimizer": "b", "seed": 0}, -1.0)]
    frame = compare(store_runs(tmp_path / "negative", below))
    assert set(frame[frame["measure"] == "trace"]["scale"]) == {"linear"}
    assert "±" in dict(cells(frame)[1])["trace"][0]


@pytest.mark.parametrize(("seeds", "level"), [(3, 0.95), (5, 0.95), (10, 0.8)])
def test_intervals_on_the_scale_of_factors_cover_the_median_of_skewed_draws_where_linear_ones_fall_short(seeds, level):
    rng, draws, spread = np.random.default_rng(1), 1500, 1.0
    samples = np.exp(np.log(3.0) + spread * rng.standard_normal((draws, seeds)))
    inside = {"geometric": 0, "linear": 0}
    for sample in samples:
        _, low, high, _ = geometric_interval(sample, level)
        inside["geometric"] += low <= 3.0 <= high
        _, low, high, _ = mean_interval(sample, level)
        inside["linear"] += low <= 3.0 * np.exp(spread**2 / 2) <= high
    fewest, most = stats.binom.interval(0.999, draws, level)
    assert fewest <= inside["geometric"] <= most
    assert inside["linear"] < fewest


@pytest.mark.parametrize(("seeds", "level"), [(2, 0.95), (3, 0.95), (10, 0.8)])
def test_intervals_over_seeds_cover_the_truth_as_often_as_they_say(seeds, level):
    """A normal quantile in place of Student's would cover 70 times in 100 at two seeds."""
    rng, draws = np.random.default_rng(0), 1500
    intervals = [mean_interval(rng.normal(40.0, 6.0, seeds), level) for _ in range(draws)]
    covered = sum(low <= 40.0 <= high for _, low, high, _ in intervals)
    fewest, most = stats.binom.interval(0.999, draws, level)
    assert fewest <= covered <= most


def test_the_final_checkpoint_of_each_run_counts(tmp_path):
    with ResultStore(tmp_path) as store:
        for seed in (0, 1):
            store.describe_run(f"s{seed}", {"optimizer": "gd", "seed": seed})
            for step, value in ((1, 100.0), (2, 5.0 + seed)):
                store.write(f"s{seed}", step, "trace", Estimate(value), {})
    assert by_group(compare(tmp_path)).loc["gd", "mean"] == 5.5


def test_a_path_and_its_results_give_the_same_comparison(folder):
    frame = compare(folder)
    for other in (compare(load_results(folder)), compare(str(folder / "results.h5"))):
        pd.testing.assert_frame_equal(frame, other)
        assert frame.attrs == other.attrs


def test_one_seed_has_a_mean_and_no_interval(tmp_path):
    store_runs(tmp_path, [("a", {"optimizer": "gd", "seed": 0}, 3.0), ("b", {"optimizer": "sgd", "seed": 0}, 4.0)])
    line = by_group(compare(tmp_path)).loc["gd"]
    assert (line["n"], line["mean"]) == (1, 3.0)
    assert np.isnan([line["low"], line["high"], line["std"]]).all()
    _, body = cells(compare(tmp_path))
    assert dict(body)["trace"] == ["3", "4"]


def test_pivoting_keeps_every_number(folder):
    frame = compare(folder)
    wide = pivot(frame, "high")
    assert list(wide.columns) == ["adam", "momentum", "sgd"]
    assert list(wide.index) == list(dict.fromkeys(frame["measure"]))
    for line in frame.itertuples():
        assert wide.loc[line.measure, line.group] == line.high


def printed(frame: pd.DataFrame, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(comparison_table(frame))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def test_the_comparison_fits_a_terminal_with_three_groups_and_with_eight(folder, tmp_path):
    lines = printed(compare(folder), 80)
    assert max(map(len, lines)) <= 80
    assert sum("±" in line or "×/÷" in line for line in lines) >= 12
    assert any("not a generalization claim" in line for line in lines)
    runs = [(f"{o}{s}", {"optimizer": f"optimizer-{o}", "seed": s}, 2.0 + s) for o in range(8) for s in (0, 1)]
    lines = printed(compare(store_runs(tmp_path, runs)), 80)
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(f" optimizer-{o}") for o in range(8) for line in lines) == 8
    assert not any("…" in line for line in lines)
