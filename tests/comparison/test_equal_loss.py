"""Groups at equal training loss: read where they stand at one loss, whatever checkpoints they happen to have."""

from __future__ import annotations

import io
import json
import math

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from landscape.comparison import at_equal_loss, compare, contrast_table, equal_loss_table, other_levels
from landscape.statistics import holm_with_signs, permutation_test
from tests.support.loss_curves import power, store_curves

#: λ at loss ℓ; "fast" is the sharpest at every loss, and looks flattest where its checkpoints happen to be lowest.
ARMS = {"slow": power(3.0, 0.5), "middle": power(4.0, 0.5), "fast": power(5.0, 0.5)}
SLOW = [2.0, 1.2, 0.7, 0.5, 0.4]
FAST = [2.0, 1.0, 0.05, 0.01]


def three_arms(folder, seeds=5):
    """Seeds differ by a factor that they share across arms, and a little of their own."""
    runs = {}
    for k, (name, curve) in enumerate(ARMS.items()):
        for seed in range(seeds):
            own = math.exp(0.2 * math.sin(seed + 1) + 0.002 * math.cos(7 * seed + k))
            losses = [x * (1 + 0.01 * seed) for x in (FAST if name == "fast" else SLOW)]
            runs[f"{name}-s{seed}"] = ({"label": name, "seed": seed}, losses, lambda x, c=curve, f=own: f * c(x))
    return store_curves(folder, runs)


def test_an_arm_that_jumps_far_past_the_level_is_read_at_the_level_and_not_where_it_landed(tmp_path):
    """By the first checkpoint as low as all reach, the sharpest arm came out flattest: it had got to 0.05."""
    folder = three_arms(tmp_path)
    found = at_equal_loss(folder)
    landed = {name: curve(0.05 if name == "fast" else 0.4) for name, curve in ARMS.items()}
    assert min(landed, key=landed.__getitem__) == "fast"
    assert list(found.centres("lambda_max")) == ["slow", "middle", "fast"]
    shared = np.exp(np.mean([0.2 * math.sin(seed + 1) for seed in range(4)]))
    assert found.level == pytest.approx(0.4 * 1.03)  # four of the five slow runs get there
    for name, centre in found.centres("lambda_max").items():
        assert centre.value == pytest.approx(ARMS[name](found.level) * shared, rel=0.06)


def test_a_power_of_the_loss_is_read_exactly_at_every_level(tmp_path):
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [2.0, 0.9 - 0.1 * s, 0.11 + 0.01 * s], power(c, p))
            for arm, c, p in (("a", 3.0, 0.7), ("b", 2.0, -0.4)) for s in (0, 1)}  # fmt: skip
    found = at_equal_loss(store_curves(tmp_path, runs))
    assert len(found.levels) == 4
    assert sorted(found.levels) == list(found.levels)
    for row in found.runs[found.runs["measure"] == "lambda_max"].itertuples():
        truth = 3.0 * row.level**0.7 if row.group == "a" else 2.0 * row.level**-0.4
        assert row.value == pytest.approx(truth, rel=1e-12)
        assert row.loss_above >= row.level >= row.loss_below


def test_the_contrasts_at_the_level_are_those_of_the_pairs_of_seeds_there(tmp_path):
    """A ratio of 4/3 by construction; p and Holm by the functions that know nothing of losses."""
    found = at_equal_loss(three_arms(tmp_path, seeds=5), level=0.45)
    rows = found.contrasts[found.contrasts["measure"] == "lambda_max"]
    assert len(rows) == 3
    values = found.runs[found.runs["measure"] == "lambda_max"].pivot(index="seed", columns="group", values="value")
    ps = [permutation_test(np.log(values[r.a]), np.log(values[r.b]), paired=True)[0] for r in rows.itertuples()]
    assert rows["p"].to_list() == pytest.approx(ps)
    assert rows["p_holm"].to_list() == pytest.approx(holm_with_signs(ps).tolist())
    pair = rows[(rows["a"] == "middle") & (rows["b"] == "slow")].iloc[0]
    assert bool(pair["paired"])
    assert pair["ratio"] == pytest.approx(4 / 3, rel=0.01)
    assert pair["low"] < 4 / 3 < pair["high"]


def test_one_bad_run_does_not_set_the_level_and_is_named(tmp_path):
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [2.0, 1.0, 0.2, 0.1], power(1.0 + (arm == "b"), 1.0))
            for arm in "ab" for s in range(5)}  # fmt: skip
    runs["b3"] = (runs["b3"][0], [2.0, 1.8, 1.7], power(2.0, 1.0))
    found = at_equal_loss(store_curves(tmp_path, runs))
    assert found.level == 0.1
    assert found.left_out == {"b3": "its lowest measured loss is 1.7"}
    assert any("b3: its lowest measured loss is 1.7" in note for note in found.notes)
    counts = found.table[(found.table["measure"] == "lambda_max") & (found.table["level"] == 0.1)]
    assert counts.set_index("group")["n"].to_dict() == {"a": 5, "b": 4}


def test_one_weak_arm_of_six_does_not_set_the_level_and_is_named(tmp_path):
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [2.0, 0.3, 0.1] if arm != "f" else [2.0, 1.5], power(1.0, 1.0))
            for arm in "abcdef" for s in range(3)}  # fmt: skip
    found = at_equal_loss(store_curves(tmp_path, runs))
    assert found.level == 0.1
    assert found.groups_left_out == {"f": "0 of its 3 runs can be read there"}
    assert list(found.centres("lambda_max")) == list("abcde")
    assert any(note.startswith("Not compared at this loss: f") for note in found.notes)


def test_equal_arms_are_not_told_apart(tmp_path):
    """One curve for both, at other checkpoints: the ratio is 1 to the last digits, and no p is small."""
    runs = {f"a{s}": ({"label": "a", "seed": s}, [2.0, 0.5, 0.1], power(1.0 + s, 0.5)) for s in range(4)}
    runs |= {f"b{s}": ({"label": "b", "seed": s}, [1.0, 0.3, 0.02], power(1.0 + s, 0.5)) for s in range(4)}
    found = at_equal_loss(store_curves(tmp_path, runs), level=0.25)
    row = found.contrasts[found.contrasts["measure"] == "lambda_max"].iloc[0]
    assert row["ratio"] == pytest.approx(1.0, abs=1e-12)
    assert not row["p_holm"] < 0.05


def test_where_no_loss_is_shared_the_reason_says_what_to_do(tmp_path):
    low = {f"a{s}": ({"label": "a", "seed": s}, [0.02, 0.01], power(1.0, 1.0)) for s in (0, 1)}
    high = {f"b{s}": ({"label": "b", "seed": s}, [0.9, 0.5], power(1.0, 1.0)) for s in (0, 1)}
    found = at_equal_loss(store_curves(tmp_path / "apart", low | high))
    assert found.levels == ()
    assert math.isnan(found.level)
    assert "no training loss lies between measured checkpoints" in found.reason
    assert "landscape match" in found.reason
    assert "save_losses" in found.reason
    ends = {name: (config, losses[-1:], curve) for name, (config, losses, curve) in (low | high).items()}
    assert "one checkpoint of each run" in at_equal_loss(store_curves(tmp_path / "ends", ends)).reason
    assert "one group" in at_equal_loss(store_curves(tmp_path / "one", low)).reason


def test_a_folder_that_was_matched_is_read_at_the_level_of_its_matching(tmp_path):
    """Two checkpoints of each run, around 0.3: by themselves they would allow a lower level with fewer runs."""
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [0.5, 0.28 - 0.04 * s], power(1.0, 1.0))
            for arm in "ab" for s in range(5)}  # fmt: skip
    folder = store_curves(tmp_path, runs)
    assert at_equal_loss(folder).level == pytest.approx(0.24)
    (folder / "matching.json").write_text(json.dumps({"level": 0.3, "levels": [0.3]}))
    found = at_equal_loss(folder)
    assert found.levels == (0.3,)
    assert found.left_out == {}
    for rubbish in ("", "[1]", '{"level": "low"}', '{"levels": [null, "a"]}', '{"level": 1e999}'):
        (folder / "matching.json").write_text(rubbish)
        assert at_equal_loss(folder).level == pytest.approx(0.24)


def test_a_measure_with_values_below_zero_is_read_on_a_straight_line_in_the_logarithm_of_the_loss(tmp_path):
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [2.0, 1.0, 0.1], power(1.0, 1.0)) for arm in "ab" for s in (0, 1)}
    found = at_equal_loss(store_curves(tmp_path, runs, trace=lambda x: 3.0 * math.log(x) + 1.0), level=0.4)
    rows = found.runs[found.runs["measure"] == "trace"]
    assert len(rows) == 4
    assert rows["value"].to_list() == pytest.approx([3.0 * math.log(0.4) + 1.0] * 4, rel=1e-12)
    assert set(found.table[found.table["measure"] == "trace"]["scale"]) == {"linear"}


def test_intervals_over_runs_at_the_level_are_student_s_of_the_logarithms(tmp_path):
    factors = (0.8, 1.0, 1.3)
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [2.0, 0.5, 0.1], power(f, 0.5))
            for arm in "ab" for s, f in enumerate(factors)}  # fmt: skip
    row = at_equal_loss(store_curves(tmp_path, runs), level=0.3, measures=["lambda_max"]).table.iloc[0]
    expected = stats.ttest_1samp(np.log([f * 0.3**0.5 for f in factors]), 0.0).confidence_interval(0.95)
    assert (row["low"], row["high"]) == pytest.approx(np.exp(expected), rel=1e-9)


def test_the_errors_of_both_ends_are_carried_to_the_level(tmp_path):
    """Residuals of 0.1 at λ = 2 and λ = 1, half way in the logarithm of the loss."""
    runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [1.0, 0.25], power(2.0, 0.5)) for arm in "ab" for s in (0, 1)}
    folder = store_curves(tmp_path, runs, residual=0.1)
    row = at_equal_loss(folder, level=0.5, measures=["lambda_max"]).runs.iloc[0]
    assert row["value"] == pytest.approx(2**0.5)
    assert row["measuring"] == pytest.approx(math.hypot(0.5 * 0.1 / 2, 0.5 * 0.1 / 1))


def test_wide_brackets_are_named_and_the_table_prints_the_matched_losses(tmp_path):
    found = at_equal_loss(three_arms(tmp_path))
    assert any("fast-s0 1 and 0.05" in note and "save_losses" in note for note in found.notes)
    assert not any("slow-s0" in note for note in found.notes if "factor of 3" in note)
    console = Console(file=io.StringIO(), width=80)
    console.print(equal_loss_table(found))
    console.print(contrast_table(found.contrasts))
    text = console.file.getvalue()
    assert "At a training loss of 0.412" in text
    assert "fast" in text
    assert "0.05" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_comparison_of_ends_says_that_losses_differ_from_a_tenth_on(tmp_path):
    def said(loss):
        runs = {f"{arm}{s}": ({"label": arm, "seed": s}, [1.0, x], power(1.0, 1.0))
                for arm, x in (("a", 0.1), ("b", loss)) for s in (0, 1)}  # fmt: skip
        return any(
            "compare them at equal loss" in n for n in compare(store_curves(tmp_path / f"{loss}", runs)).attrs["notes"]
        )

    assert said(0.12)
    assert not said(0.109)


def test_an_arm_that_is_flattest_at_one_loss_and_sharpest_at_another_is_said_to_be(tmp_path):
    """λ = 2√ℓ and 2·ℓ^1.5 cross at ℓ = 1: below it the steep arm is flattest, above it sharpest."""
    runs = {}
    for seed in range(3):
        losses = [10.0**k for k in (1, 0.5, 0, -0.5, -1)]
        for name, p in (("gentle", 0.5), ("steep", 1.5)):
            runs[f"{name}-s{seed}"] = ({"label": name, "seed": seed}, losses, power(2 * (1 + 0.01 * seed), p))
    found = at_equal_loss(store_curves(tmp_path / "runs", runs), levels=2)
    assert found.levels == pytest.approx((0.1, 1.0))
    assert other_levels(found) == ""  # they are equal at 1
    above = at_equal_loss(tmp_path / "runs", levels=4)
    assert list(above.centres("lambda_max")) == ["steep", "gentle"]
    said = other_levels(above)
    assert "at 0.316 steep lies below all others" in said
    assert "gentle lies above all others" in said
    assert "at 1 none lies apart; at 3.16 gentle lies below all others" in said
    assert said.endswith(").")
