"""Groups of runs: means and intervals against an independent route, coverage measured, and what a reader is told."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import (
    cells,
    compare,
    comparison_table,
    contrast_table,
    contrasts,
    pivot,
    ranks_with_gap,
    spread_table,
    spreads,
)  # fmt: skip
from landscape.errors import UsageError
from landscape.results import Estimate, PointValue
from landscape.statistics import contrast, geometric_interval, mean_interval
from landscape.store import ResultStore, final_rows, load_results
from tests.support.synthetic_results import make_results


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("results")
    make_results(path, seeds=(0, 1, 2), steps=(10, 20), vectors=False)
    return path


def store_runs(folder: Path, runs: list[tuple[str, dict, float | None]]) -> Path:
    """One run per ``(name, config, trace)``; None leaves the trace out."""
    with ResultStore(folder) as store:
        for name, config, trace in runs:
            store.describe_run(name, {"config": config})
            store.write(name, 1, "point", PointValue(0.1, 0.2, 0.3), {})
            if trace is not None:
                store.write(name, 1, "trace", Estimate(trace), {})
    return folder


def by_group(frame: pd.DataFrame, measure: str = "trace") -> pd.DataFrame:
    return frame[frame["measure"] == measure].set_index("group")


def notes(folder: Path, by: str = "optimizer") -> str:
    return "\n".join(compare(folder, by).attrs["notes"])


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


def test_any_key_of_the_training_config_makes_groups_in_numeric_order(tmp_path):
    runs = [
        (f"{lr}-{s}", {"optimizer": "sgd", "lr": lr, "seed": s}, 1 / lr + s) for lr in (0.1, 0.01, 0.5) for s in (0, 1)
    ]
    frame = compare(store_runs(tmp_path, runs), by="lr")
    assert list(dict.fromkeys(frame["group"])) == [0.01, 0.1, 0.5]
    assert by_group(frame).loc[0.01, "mean"] == 100.5
    assert list(dict.fromkeys(compare(tmp_path, by="seed")["group"])) == [0, 1]


def test_settings_that_are_lists_group_by_their_content(tmp_path):
    runs = [("a", {"betas": [0.9, 0.99]}, 1.0), ("b", {"betas": [0.9, 0.99]}, 2.0), ("c", {"betas": [0.9, 0.9]}, 3.0)]
    frame = compare(store_runs(tmp_path, runs), by="betas")
    assert by_group(frame)["n"].to_dict() == {"[0.9, 0.9]": 1, "[0.9, 0.99]": 2}


def test_an_unknown_key_is_refused_with_the_keys_there_are(folder):
    with pytest.raises(UsageError, match=r"by='warmup'.*batch_size.*lr.*optimizer.*seed"):
        compare(folder, by="warmup")
    with pytest.raises(UsageError, match="level=95"):
        compare(folder, level=95)


def test_no_comparison_is_a_generalization_claim(folder):
    assert "not a generalization claim" in notes(folder)


def test_few_seeds_are_pointed_out_and_ten_are_not(folder, tmp_path):
    assert "Fewer than 10 runs per group (adam has 3" in notes(folder)
    runs = [(f"{o}{s}", {"optimizer": o, "seed": s}, float(s)) for o in ("gd", "sgd") for s in range(10)]
    assert compare(store_runs(tmp_path, runs)).attrs["notes"] == compare(tmp_path).attrs["notes"][-1:]


def test_different_seeds_in_the_groups_are_pointed_out(folder, tmp_path):
    assert "different seeds" not in notes(folder)
    runs = [("a", {"optimizer": "gd", "seed": 0}, 1.0), ("b", {"optimizer": "sgd", "seed": 1}, 1.0)]
    assert "different seeds (gd: 0; sgd: 1)" in notes(store_runs(tmp_path, runs))


def test_a_measure_that_some_runs_lack_counts_the_others_and_says_so(tmp_path):
    runs = [(f"{o}{s}", {"optimizer": o, "seed": s}, 2.0) for o in ("gd", "sgd") for s in (0, 1)]
    runs[3] = ("sgd1", {"optimizer": "sgd", "seed": 1}, None)
    frame = compare(store_runs(tmp_path, runs))
    assert by_group(frame)["n"].to_dict() == {"gd": 2, "sgd": 1}
    assert by_group(frame, "train_loss")["n"].to_dict() == {"gd": 2, "sgd": 2}
    assert "trace is missing for sgd1" in "\n".join(frame.attrs["notes"])
    assert "lambda_max" not in set(frame["measure"])  # none has it: nothing to compare, nothing to say
    assert "lambda_max is missing" not in "\n".join(frame.attrs["notes"])


def test_runs_that_did_not_converge_are_named(folder):
    assert "Not all of sgd-s2 converged" in notes(folder)


def test_runs_without_the_key_are_left_out_and_named(tmp_path):
    runs = [("a", {"lr": 0.1}, 1.0), ("b", {"lr": 0.2}, 2.0), ("c", {}, 3.0)]
    assert "Left out, because their config has no 'lr': c" in notes(store_runs(tmp_path, runs), "lr")


def test_replicates_that_differ_in_more_than_the_seed_are_pointed_out(tmp_path):
    runs = [(f"{lr}", {"optimizer": "sgd", "lr": lr, "seed": 0}, 1.0) for lr in (0.1, 0.2)]
    said = notes(store_runs(tmp_path, runs))
    assert "Runs of sgd differ in more than the seed" in said
    assert "lr (0.1, 0.2)" in said


def test_the_same_seed_twice_is_pointed_out(tmp_path):
    runs = [(name, {"optimizer": "sgd", "seed": 4}, 1.0) for name in "ab"]
    assert "several runs of seed 4" in notes(store_runs(tmp_path, runs))


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


# --- differences ------------------------------------------------------------------------------------------------------


def line_of(frame: pd.DataFrame, measure: str, a: str, b: str) -> pd.Series:
    return frame[(frame["measure"] == measure) & (frame["a"] == a) & (frame["b"] == b)].iloc[0]


def test_differences_of_paired_seeds_agree_with_scipy_and_holm_is_over_the_pairs_of_a_measure(folder):
    frame = contrasts(folder)
    rows = final_rows(load_results(folder))
    values = {
        group: np.array([row["trace"] for row in sorted(rows, key=lambda r: r["seed"]) if row["optimizer"] == group])
        for group in ("adam", "momentum", "sgd")
    }
    line = line_of(frame, "trace", "adam", "sgd")
    expected = stats.ttest_rel(values["adam"], values["sgd"]).confidence_interval(0.95)
    assert (line["low"], line["high"]) == pytest.approx((expected.low, expected.high))
    assert line["paired"]
    assert (line["n"], line["smallest_p"]) == (3, 0.25)
    of_trace = frame[frame["measure"] == "trace"]
    assert len(of_trace) == 3
    assert (of_trace["p_holm"] >= of_trace["p"]).all()
    assert line["p_holm"] <= 3 * line["p"] + 1e-12


def test_positive_measures_are_compared_as_ratios_and_a_common_factor_is_found_exactly(tmp_path):
    """b is 1.5 times a at every seed: whatever the seeds do, the ratio is 2/3, and p is that of equal signs."""
    rng = np.random.default_rng(2)
    base = np.exp(rng.normal(0, 1, 6))
    runs = [
        (f"{o}{s}", {"optimizer": o, "seed": s}, float(f * base[s]))
        for o, f in (("a", 1), ("b", 1.5))
        for s in range(6)
    ]
    frame = contrasts(store_runs(tmp_path, runs))
    line = line_of(frame, "trace", "a", "b")
    assert line["scale"] == "log"
    assert [line[name] for name in ("ratio", "ratio_low", "ratio_high")] == pytest.approx([2 / 3] * 3, rel=1e-9)
    assert line["difference"] == pytest.approx(-0.5 * base.mean())
    assert line["p"] == pytest.approx(2 / 2**6)
    console = Console(file=io.StringIO(), width=80)
    console.print(contrast_table(frame))
    assert "a ÷ b" in console.file.getvalue()
    assert "× 0.67" in console.file.getvalue()


def test_of_equal_skewed_groups_the_test_rejects_as_often_as_its_level_says():
    """Five seeds a side, lognormal, unpaired: 12 of the 252 ways to deal them out are beyond the 5 % level."""
    rng, draws = np.random.default_rng(3), 1000
    rejected = 0
    for _ in range(draws):
        a, b = (dict(enumerate(np.log(np.exp(rng.normal(0, 1, 5))), start)) for start in (0, 100))
        rejected += contrast(a, b).p <= 0.05
    fewest, most = stats.binom.interval(0.999, draws, 12 / 252)
    assert fewest <= rejected <= most


def test_runs_with_other_seeds_are_not_paired(tmp_path):
    shifts = (("a", 0), ("b", 10))
    runs = [(f"{o}{s}", {"optimizer": o, "seed": s + shift}, float(s)) for o, shift in shifts for s in range(4)]
    line = line_of(contrasts(store_runs(tmp_path, runs)), "trace", "a", "b")
    assert not line["paired"]
    assert (line["n"], line["m"], line["difference"]) == (4, 4, 0.0)


def test_two_runs_of_one_seed_are_not_paired_with_anything(tmp_path):
    runs = [(f"{o}{i}", {"optimizer": o, "seed": 0, "lr": i}, float(i)) for o in "ab" for i in range(3)]
    assert not line_of(contrasts(store_runs(tmp_path, runs)), "trace", "a", "b")["paired"]


def test_a_difference_needs_two_groups(tmp_path):
    store_runs(tmp_path, [("a", {"optimizer": "gd", "seed": 0}, 3.0)])
    with pytest.raises(UsageError, match="gives 1 group; a difference needs two"):
        contrasts(tmp_path)


@pytest.mark.parametrize(("other", "differ"), [(5.0, True), (1.005, False)])
def test_the_reader_is_told_where_raw_and_invariant_flatness_disagree_by_more_than_a_hair(tmp_path, other, differ):
    with ResultStore(tmp_path) as store:
        for group, trace, adaptive in (("flat", 1.0, 9.0), ("steep", other, 2.0)):
            for seed in (0, 1):
                store.describe_run(f"{group}{seed}", {"optimizer": group, "seed": seed})
                store.write(f"{group}{seed}", 1, "trace", Estimate(trace), {})
                store.write(f"{group}{seed}", 1, "sharpness_adaptive_average", Estimate(adaptive), {})
    told = " ".join(contrasts(tmp_path).attrs["notes"])
    assert ("trace: flat < steep; sharpness_adaptive_average: steep < flat" in told) is differ


def test_the_table_of_differences_says_what_the_design_cannot_show(folder):
    console = Console(file=io.StringIO(), width=80)
    console.print(contrast_table(contrasts(folder)))
    text = console.file.getvalue()
    assert "p cannot fall below 0.25: nothing could reach the 5 % level here" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_flatness_is_ranked_against_the_gap_over_all_runs(folder):
    frame = ranks_with_gap(folder)
    rows = final_rows(load_results(folder))
    gap = [row["test_loss"] - row["train_loss"] for row in rows]
    tau = stats.kendalltau([row["trace"] for row in rows], gap).statistic
    line = frame.set_index("measure").loc["trace"]
    assert (line["tau"], line["n"]) == (pytest.approx(tau), len(rows))
    assert line["low"] < line["tau"] < line["high"]


def test_without_losses_there_are_no_ranks(tmp_path):
    store_runs(tmp_path, [(f"r{i}", {"optimizer": "gd", "seed": i}, float(i)) for i in range(8)])
    assert ranks_with_gap(tmp_path)["tau"].isna().all()


# --- spreads ----------------------------------------------------------------------------------------------------------


def test_standard_deviations_over_runs_are_those_of_the_rows_and_unlike_ones_are_told(tmp_path):
    rng = np.random.default_rng(0)
    values = {"calm": np.exp(rng.normal(1.6, 0.02, 12)), "wild": np.exp(rng.normal(1.6, 0.4, 12))}
    folder = store_runs(
        tmp_path,
        [
            (f"{group}-{seed}", {"optimizer": group, "seed": seed}, float(value))
            for group, drawn in values.items()
            for seed, value in enumerate(drawn)
        ],
    )
    frame = spreads(folder)
    for group, row in by_group(frame).iterrows():
        assert row["std"] == pytest.approx(np.std(values[group], ddof=1))
        assert row["gstd"] == pytest.approx(stats.gstd(values[group]))
        assert row["gstd_low"] < np.exp({"calm": 0.02, "wild": 0.4}[group]) < row["gstd_high"]
    assert (frame[frame["measure"] == "trace"]["p_holm"] < 0.01).all()
    assert np.isnan(frame[frame["measure"] == "train_loss"]["p"]).all()  # all runs have one loss here
    console = Console(file=io.StringIO(), width=80)
    console.print(spread_table(frame))
    text = console.file.getvalue()
    assert "calm" in text
    assert "Brown–Forsythe" in text
    assert max(map(len, text.splitlines())) <= 80


def test_within_a_setting_only_groups_that_agree_in_it_are_compared(tmp_path):
    """Two optimizers at two batch sizes: two pairs, not six, and Holm's adjustment is over those two."""
    rng = np.random.default_rng(3)
    runs = [
        (f"{name}-b{batch}-s{seed}", {"label": f"{name}-b{batch}", "batch_size": batch, "seed": seed}, value)
        for name in ("adam", "sgd")
        for batch in (8, 64)
        for seed, value in enumerate(rng.standard_normal(6) + (name == "adam") * 5)
    ]
    store_runs(tmp_path, runs)
    every, inside = (contrasts(tmp_path, by="label", within=key) for key in (None, "batch_size"))
    rows = inside[inside["measure"] == "trace"]
    assert [(row.a, row.b) for row in rows.itertuples()] == [("adam-b8", "sgd-b8"), ("adam-b64", "sgd-b64")]
    assert len(every[every["measure"] == "trace"]) == 6
    worst = rows["p"].max()
    assert rows["p_holm"].to_list() == pytest.approx([min(1.0, max(2 * rows["p"].min(), p)) for p in rows["p"]])
    assert worst == pytest.approx(2 / 2**6)
    same = every.merge(rows, on=["measure", "a", "b"])
    assert same["p_x"].to_list() == same["p_y"].to_list()


def test_within_a_setting_that_groups_do_not_share_nothing_is_compared(tmp_path):
    runs = [(f"{name}{lr}", {"label": name, "lr": lr, "seed": 0}, 1.0) for name in "ab" for lr in (1, 2)]
    store_runs(tmp_path / "mixed", runs)
    with pytest.raises(UsageError, match=r"the runs of a do not agree in it \(1, 2\)"):
        contrasts(tmp_path / "mixed", by="label", within="lr")
    store_runs(tmp_path / "apart", [("a", {"label": "a", "lr": 1}, 1.0), ("b", {"label": "b", "lr": 2}, 1.0)])
    with pytest.raises(UsageError, match="no two groups agree"):
        contrasts(tmp_path / "apart", by="label", within="lr")


def test_the_table_of_differences_breaks_long_pairs_and_says_once_what_all_share(tmp_path):
    labels = ("polyak-sgd-max-b200", "polyak-adam-b200", "sgd-b200")
    runs = [(f"{label}-{seed}", {"label": label, "seed": seed}, 2.5) for label in labels for seed in range(3)]
    with ResultStore(tmp_path) as store:
        for i, (name, config, trace) in enumerate(runs):
            store.describe_run(name, {"config": config})
            store.describe_checkpoint(name, 1, {"test_loss": float(i % 7)})
            store.write(name, 1, "trace", Estimate(trace), {})
    console = Console(file=io.StringIO(), width=80)
    console.print(contrast_table(contrasts(tmp_path, by="label")))
    lines = console.file.getvalue().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(" trace"))
    assert lines[at + 1].split() == ["the", "same", "in", "all", "0"]
    assert not lines[at + 2].strip().startswith("polyak")
    first = next(i for i, line in enumerate(lines) if "polyak-adam-b200 " in line)
    assert lines[first + 1].startswith("     − polyak-sgd-max-b200")
    assert any(line.startswith(" test_loss") for line in lines)
    assert max(map(len, lines)) <= 80
