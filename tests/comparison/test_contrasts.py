"""Differences between groups: paired where seeds are, as factors where positive, adjusted over what was compared."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import (
    contrast_table,
    contrasts,
    interval_text,
    verdict_text,
)  # fmt: skip
from landscape.errors import UsageError
from landscape.results import Estimate
from landscape.statistics import contrast, holm_with_signs
from landscape.store import ResultStore, final_rows, load_results
from tests.support.comparisons import store_runs


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
    test = stats.ttest_rel(np.log(values["adam"]), np.log(values["sgd"]))
    alone, together = (np.exp(test.confidence_interval(level)) for level in (0.95, 1 - 0.05 / 3))
    assert (line["single_low"], line["single_high"]) == pytest.approx(tuple(alone))
    assert (line["low"], line["high"]) == pytest.approx((min(1, together[0]), max(1, together[1])))
    assert line["difference"] == pytest.approx((values["adam"] - values["sgd"]).mean())
    assert line["paired"]
    assert (line["n"], line["pairs"], line["smallest_p"], line["smallest_p_holm"]) == (3, 3, 0.25, 0.75)
    of_trace = frame[frame["measure"] == "trace"]
    assert len(of_trace) == 3
    assert of_trace["p_holm"].to_list() == pytest.approx(holm_with_signs(of_trace["p"]))
    assert set(of_trace["verdict"]) == {"cannot tell"}


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
    assert [line[name] for name in ("ratio", "low", "high")] == pytest.approx([2 / 3] * 3, rel=1e-9)
    assert line["difference"] == pytest.approx(-0.5 * base.mean())
    assert line["p"] == pytest.approx(2 / 2**6)
    assert line["verdict"] == "different"
    console = Console(file=io.StringIO(), width=80)
    console.print(contrast_table(frame))
    assert "a ÷ b" in console.file.getvalue()
    assert "× 0.67" in console.file.getvalue()


@pytest.mark.slow
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
    assert ("trace: flat < steep; adaptive average sharpness: steep < flat" in told) is differ


def test_the_table_of_differences_says_what_the_design_cannot_show(folder):
    console = Console(file=io.StringIO(), width=80)
    console.print(contrast_table(contrasts(folder)))
    text = console.file.getvalue()
    said = (
        "With 3 seeds and 3 pairs of groups this design cannot tell: p cannot fall below 0.25, adjusted not below 0.75."
    )
    assert said in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_within_a_setting_only_groups_that_agree_in_it_are_compared(tmp_path):
    """Two optimizers at two batch sizes: two pairs, not six, each a family of its own."""
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
    assert rows["stratum"].to_list() == ["8", "64"]
    assert rows["p_holm"].to_list() == rows["p"].to_list() == pytest.approx([2 / 2**6] * 2)
    assert set(rows["pairs"]) == {1}
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


def test_an_end_of_an_interval_that_the_decision_excludes_is_marked(tmp_path):
    """Eight pairs of one sign have p = 2/256, whatever their size; Student's interval of one far off reaches over 1."""
    factors = np.array([1.01] * 7 + [2.0])
    runs = [
        (f"{o}{s}", {"optimizer": o, "seed": s}, float(factors[s] if o == "a" else 1.0)) for o in "ab" for s in range(8)
    ]
    line = line_of(contrasts(store_runs(tmp_path, runs)), "trace", "a", "b")
    assert line["single_low"] < 1 == line["low"] < line["ratio"] < line["high"]
    assert (line["verdict"], verdict_text(line)) == ("different", "")
    assert interval_text(line, "{:.3g}".format) == f"[>1, {line['high']:.3g}]"
    turned = interval_text(line, "{:.3g}".format, turn=lambda ratio: 1 / ratio)
    assert turned == f"[{1 / line['high']:.3g}, <1]"
    line["low"], line["high"] = 1.002, 1.1  # which three digits show as 1
    assert interval_text(line, "{:.3g}".format) == "[>1, 1.1]"


def test_designs_of_more_than_one_kind_are_told_apart_in_the_notes(tmp_path):
    rng = np.random.default_rng(4)
    runs = [
        (f"{label}{seed}", {"label": label, "seed": seed}, float(np.exp(rng.normal())))
        for label, seeds in (("a", range(8)), ("b", range(8)), ("c", range(50, 53)))
        for seed in seeds
    ]
    notes = contrasts(store_runs(tmp_path, runs), by="label").attrs["notes"]
    assert any(n.startswith("With 8 seeds and 3 pairs of groups a difference of ") for n in notes)
    assert any("8 and 3 runs and 3 pairs of groups a difference of" in n and "of a group is found" in n for n in notes)


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
    assert any(line.startswith(" test loss") for line in lines)
    assert max(map(len, lines)) <= 80
