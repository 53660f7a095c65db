"""Runs are grouped by any setting of their training, and the reader is told what a group is not."""

from __future__ import annotations

import pytest

from landscape.comparison import (
    compare,
)  # fmt: skip
from landscape.errors import UsageError
from tests.support.comparisons import by_group, notes, store_runs


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
    assert "λ_max is missing" not in "\n".join(frame.attrs["notes"])


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


def test_files_that_runs_were_converted_from_are_no_settings(tmp_path):
    runs = [
        (name, {"optimizer": "sgd", "seed": seed, "imported": {"source": f"{name}.pt"}}, 1.0)
        for seed, name in enumerate("ab")
    ]
    assert "differ in more than the seed" not in notes(store_runs(tmp_path, runs))
