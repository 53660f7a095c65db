"""Standard deviations over runs, and the ranks of flatness against the gap, by SciPy's route."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import (
    ranks_with_gap,
    spread_table,
    spreads,
)  # fmt: skip
from landscape.store import final_rows, load_results
from tests.support.comparisons import by_group, store_runs


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
