"""What a problem measures by itself, beside what it knows in closed form: read, told, and drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landscape.results import Estimate, Evaluation, PointValue, SpectralGap
from landscape.store import ResultStore, load_results
from landscape.study import Arm, Study
from landscape.study.doses import draw_doses, number_of
from landscape.study.quantities import Quantity, caption, differences, measured, table, told

ARMS = tuple(
    Arm(f"penalty-{p}", {"problem_config": {"method": "penalty", "penalty": p}}) for p in (1, 10, 100)
)  # fmt: skip
SEEDS = tuple(range(7))


def study(**changes):
    base = {"name": "s", "question": "?", "problem": "half-plane", "arms": ARMS, "seeds": SEEDS}
    return Study(**base | {"settings": {"optimizer": "gd"}, "against": "penalty"} | changes)


def stored(folder, off: float):
    """Results of all runs: what the problem knows, times 1 + ``off``."""
    with ResultStore(folder) as store:
        for arm in ARMS:
            known = study().problem_of(arm).known
            for seed in SEEDS:
                name = arm.run(seed)
                store.describe_run(name, {"config": {"label": arm.label, "seed": seed, "optimizer": "gd"}})
                names = tuple(key for key in known if key != "spectral_ratio")
                values = np.array([known[key] * (1 + off) * (1 + 1e-3 * seed) for key in names])
                own = Evaluation(0.1, 32, measure_names=names, measure_values=values)
                store.write(name, 200, "point", PointValue(0.1, 0.2, 0.3), {})
                store.write(name, 200, "train", own, {})
                ratio = known["spectral_ratio"]
                gap = SpectralGap(Estimate(ratio - 1, bound=0.0), Estimate(ratio, bound=0.0))
                store.write(name, 200, "gap", gap, {})
    return load_results(folder, vectors=False)


def test_what_was_measured_stands_beside_what_is_known(tmp_path):
    found = {quantity.words: quantity for quantity in measured(study(), stored(tmp_path, 0.02))}
    assert {"violation", "distance to the solution"} <= found.keys()
    one = found["violation"]
    for arm in ARMS:
        known = study().problem_of(arm).known["violation"]
        assert one.known[arm.label] == known
        assert one.values[arm.label][2] == pytest.approx(known * 1.02 * 1.002)
    said = told(study(), [one])
    assert said[0].startswith("violation: penalty-100 0.01")
    assert "of the comparisons of two arms: in violation 3 with a difference" in said[1]
    assert (
        "within 1 %: the violation in 0 of 3 arms, not in penalty-1 (0.445 where 0.435 is known), penalty-" in said[-1]
    )
    near = {quantity.words: quantity for quantity in measured(study(), stored(tmp_path / "near", 0.0))}
    assert told(study(), [near["violation"]])[-1].endswith("within 1 %: the violation in 3 of 3 arms.")
    assert "closed form" in table(study(), [one])
    assert "closed form of the minimum" in caption([one])


def test_an_arm_is_told_by_its_order_and_zeros_are_kept_from_logarithms():
    values = {
        "penalty-1": dict.fromkeys(SEEDS, 3.0),
        "penalty-10": dict.fromkeys(SEEDS, 0.0),
        "penalty-100": {s: 1.0 + s for s in SEEDS},
    }
    one = Quantity("far", values, dict.fromkeys(values, len(SEEDS)))
    assert one.scale([*values]) == "linear"
    assert one.scale(["penalty-1", "penalty-100"]) == "log"
    (first, *_) = told(study(), [one])
    assert first.startswith("far: penalty-10 0, penalty-1 3, penalty-100 4.0 ± 2.0.")
    share = Quantity("share", values, one.runs, is_share=True)
    assert share.scale(["penalty-1", "penalty-100"]) == "linear"
    silent = Quantity("silent", values, one.runs, is_told=False)
    assert told(study(), [silent]) == []
    assert len(differences(study(), [one, silent])) == 3


def test_the_closed_form_is_drawn_over_the_number_that_arms_differ_in(tmp_path):
    whole = study()
    drawing = draw_doses(whole, measured(whole, stored(tmp_path, 0.0)))
    panel = next(ax for ax in drawing.figure.axes if ax.get_title() == "violation")
    line = next(line for line in panel.lines if line.get_linestyle() == "--")
    assert line.get_xdata().tolist() == [1.0, 10.0, 100.0]
    assert line.get_ydata() == pytest.approx([whole.problem_of(arm).known["violation"] for arm in ARMS])
    assert draw_doses(study(against=""), []) is None


def test_arms_that_are_compared_at_one_number_each_are_drawn_over_it_by_what_else_they_are():
    arms = tuple(Arm(f"{kind}-{rate:g}", {"lr": rate}) for kind in ("held", "moved") for rate in (0.1, 1.0))
    sets = {f"at {rate:g}": [f"held-{rate:g}", f"moved-{rate:g}"] for rate in (0.1, 1.0)}
    whole = replace(study(against="lr"), arms=arms, within=sets)
    moved = Quantity("way", {arm.label: {0: 1.0, 1: 2.0} for arm in arms}, {arm.label: 2 for arm in arms})
    drawing = draw_doses(whole, [moved])
    (ax,) = drawing.figure.axes
    assert ax.get_legend_handles_labels()[1] == ["held", "moved"]
    assert "learning rate" in drawing.caption


def test_where_nothing_is_known_in_closed_form_the_doses_show_what_was_measured():
    whole = study(against="penalty")
    plain = Quantity("distance", {arm.label: {0: 1.0, 1: 2.0} for arm in ARMS}, {arm.label: 2 for arm in ARMS})
    drawing = draw_doses(whole, [plain])
    assert [ax.get_title() for ax in drawing.figure.axes] == ["distance"]
    long = Quantity("distance from where each of them began", plain.values, plain.runs)
    (ax,) = draw_doses(whole, [long]).figure.axes
    assert ax.get_title() == "distance from where each\nof them began"
    assert "closed form" not in drawing.caption
    assert number_of(ARMS[1], "penalty") == 10.0
    assert number_of(ARMS[1], "method") is None
