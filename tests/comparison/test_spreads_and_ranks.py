"""Standard deviations over runs, and the ranks of flatness against the test loss, by SciPy's route."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import (
    rank_table,
    ranks,
    spread_table,
    spreads,
)  # fmt: skip
from landscape.results import Estimate, PointValue
from landscape.store import ResultStore, final_rows, load_results
from tests.support.comparisons import by_group, store_runs


def test_flatness_is_ranked_against_the_test_loss_over_arms_and_within_them(folder):
    """Three arms of three seeds: either question has six orders, so that neither can be told."""
    frame = ranks(folder)
    rows = final_rows(load_results(folder))
    line = frame[(frame["measure"] == "trace") & (frame["target"] == "test_loss")].iloc[0]
    arms = [[r for r in rows if r["optimizer"] == arm] for arm in ("adam", "momentum", "sgd")]
    centres = [[stats.gmean([r[key] for r in arm]) for arm in arms] for key in ("trace", "test_loss")]
    assert line["tau_between"] == pytest.approx(stats.kendalltau(*centres).statistic)
    within = [stats.kendalltau(*([r[key] for r in arm] for key in ("trace", "test_loss"))).statistic for arm in arms]
    assert line["tau_within"] == pytest.approx(np.mean(within))
    assert (line["arms"], line["runs"]) == (3, 9)
    assert line["smallest_p_between"] == line["smallest_p_within"] == pytest.approx(2 / 6)
    assert line["p_between_holm"] >= line["p_between"]
    console = Console(file=io.StringIO(), width=80)
    console.print(rank_table(frame))
    said = " ".join(console.file.getvalue().split())
    assert "An association between 3 arms cannot be told by this design: its smallest adjusted p is 1." in said
    assert max(map(len, console.file.getvalue().splitlines())) <= 80


def test_without_losses_there_are_no_ranks(tmp_path):
    store_runs(tmp_path, [(f"r{i}", {"optimizer": "gd", "seed": i}, float(i)) for i in range(8)])
    assert ranks(tmp_path)[["tau_between", "tau_within", "psi"]].isna().all(axis=None)


def test_arms_that_combine_two_settings_have_a_psi_of_each(tmp_path):
    """Trace follows the rate, the test loss follows rate and batch; what changes with the rate is one with it."""
    with ResultStore(tmp_path) as store:
        for i, (lr, batch) in enumerate((lr, batch) for lr in (1, 2, 3) for batch in (8, 64)):
            for seed in range(3):
                name, config = f"r{i}-{seed}", {"label": f"a{i}", "lr": lr, "twice": 2 * lr, "batch_size": batch}
                store.describe_run(name, {"config": config | {"seed": seed}})
                store.describe_checkpoint(name, 1, {"test_loss": lr + batch / 1000})
                store.write(name, 1, "point", PointValue(0.1 * lr, 0.2, 0.3), {})
                store.write(name, 1, "trace", Estimate(10.0 * lr - (batch == 64)), {})
    frame = ranks(tmp_path)
    line = frame[(frame["measure"] == "trace") & (frame["target"] == "test_loss")].iloc[0]
    assert (line["psi_lr/twice"], line["psi_batch_size"], line["psi"]) == (1.0, -1.0, 0.0)
    assert "Not at equal loss: training losses of these runs go from 0.1 to 0.3" in frame.attrs["notes"][0]


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
        assert np.isnan([row["low"], row["high"]]).all()  # of a positive measure the interval is of the factor alone
        assert row["gstd_low"] < np.exp({"calm": 0.02, "wild": 0.4}[group]) < row["gstd_high"]
    assert (frame[frame["measure"] == "trace"]["p_holm"] < 0.01).all()
    assert np.isnan(frame[frame["measure"] == "train_loss"]["p"]).all()  # all runs have one loss here
    console = Console(file=io.StringIO(), width=80)
    console.print(spread_table(frame))
    text = console.file.getvalue()
    assert "calm" in text
    assert "Brown–Forsythe" in text
    assert max(map(len, text.splitlines())) <= 80
