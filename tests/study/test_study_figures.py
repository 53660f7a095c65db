"""Paths, histories and wells of a study: drawn and counted from the runs themselves."""

from __future__ import annotations

import numpy as np
import pytest

from landscape import plots
from landscape.checkpoints import CheckpointDir, history_of
from landscape.errors import UsageError
from landscape.study import Arm, Study
from landscape.study.basins import wells, wells_sentences
from landscape.study.histories import draw_histories, read_histories
from landscape.study.paths import draw_paths
from tests.support.studies import trained


@pytest.fixture(scope="module")
def in_wells(tmp_path_factory):
    """Two wells without noise among the points: gradient descent cannot leave the well it begins in."""
    folder = tmp_path_factory.mktemp("wells")
    arms = Arm("gd", {"optimizer": "gd", "lr": 0.04}), Arm("frozen", {"optimizer": "gd", "lr": 1e-12})
    settings = {"epochs": 40, "save_every": 10}
    study = trained(folder, problem="two-well", arms=arms, seeds=tuple(range(6)), settings=settings, histories=True)
    return study, folder


def test_each_run_is_counted_in_the_well_where_it_lies(in_wells):
    """Far from the ridge the narrow well is the one on the left."""
    study, folder = in_wells
    found = wells(study, folder)
    narrow = int(found.basins.lambda_max.argmax())
    for arm in study.arms:
        for seed, start, end in zip(study.seeds, found.starts[arm.label], found.ends[arm.label], strict=True):
            x = float(CheckpointDir(folder / arm.run(seed))[-1].theta()[0])
            assert start == end, "small steps of the whole loss follow the gradient flow"
            if arm.label == "gd":
                assert (end == narrow) == (x < 0)
    assert found.starts["gd"] == found.starts["frozen"]
    told = " ".join(wells_sentences(found))
    count = found.ends["gd"].count(narrow)
    assert 0 < count < 6, "the seeds of this test begin in both wells"
    assert f"end gd {count} of 6" in told
    assert "left by gd 0 of 6 [0, 39] %" in told


def test_one_minimum_is_not_told_as_wells_and_large_problems_are_left_alone(tmp_path):
    config, arms = {"num_examples": 20}, (Arm("gd", {"optimizer": "gd"}),)
    settings = {"epochs": 2}
    line = trained(tmp_path, problem="poly-regression", problem_config=config, arms=arms, settings=settings, seeds=(0,))
    assert wells_sentences(wells(line, tmp_path)) == []
    assert wells(Study("a", "?", "mlp-digits", (Arm("sgd"),), (0,), paths=True), tmp_path) is None
    assert wells(Study("a", "?", "two-well", (Arm("sgd"),), (0,)), tmp_path) is None
    assert wells_sentences(None) == []


def test_with_one_loss_of_two_parameters_every_arm_has_a_panel_with_all_seeds(in_wells):
    study, folder = in_wells
    drawing = draw_paths(study, folder)
    panels = drawing.figure.axes
    assert [ax.get_title(loc="left") or ax.get_title() for ax in panels] == ["gd", "frozen"]
    styles = plots.optimizer_styles([arm.label for arm in study.arms])
    for ax, arm in zip(panels, study.arms, strict=True):
        assert {line.get_color() for line in ax.lines} == {styles[arm.label].color}
        ends = {tuple(line.get_xydata()[-1].round(4)) for line in ax.lines}
        for seed in study.seeds:
            assert tuple(CheckpointDir(folder / arm.run(seed))[-1].theta().double().numpy().round(4)) in ends


def test_histories_hold_every_step_of_every_run(in_wells):
    study, folder = in_wells
    losses, sizes = read_histories(study, folder)
    one = sizes[(sizes["arm"] == "gd") & (sizes["seed"] == 3)]
    assert one["step"].to_list() == list(range(1, 41))
    assert one["value"].to_numpy() == pytest.approx(0.04)
    run = CheckpointDir(folder / "gd-s3")
    mine = losses[(losses["arm"] == "gd") & (losses["seed"] == 3)]
    assert mine["step"].to_list() == list(run.steps)
    assert mine["value"].iloc[-1] == run[-1].metrics["train_loss"]
    assert history_of(list(run))["step_size"].tolist() == run.history()["step_size"].tolist()
    drawing = draw_histories(study, folder)
    (above,) = drawing.figure.axes  # the step sizes do not change
    assert "step size" not in drawing.title + drawing.caption
    line = next(line for line in above.lines if line.get_label() == "gd")
    at_end = [CheckpointDir(folder / arm)[-1].metrics["train_loss"] for arm in (f"gd-s{s}" for s in study.seeds)]
    assert line.get_ydata()[-1] == pytest.approx(np.median(at_end))


def test_arms_of_two_factors_have_a_panel_for_each_of_the_second_and_colours_of_the_first(tmp_path):
    arms = tuple(
        Arm(f"{name}-b{batch}", {"optimizer": name, "batch_size": batch, "epochs": batch})
        for name in ("sgd", "adam") for batch in (2, 4)
    )  # fmt: skip
    study = trained(
        tmp_path, problem="noisy-linear", problem_config={"num_examples": 20}, arms=arms, seeds=(0,),
        within="batch_size", histories=True, settings={"save_every": 5},
    )  # fmt: skip
    assert {said: [a.label for a in arms] for said, arms in study.strata().items()} == {
        "batch size 2": ["sgd-b2", "adam-b2"], "batch size 4": ["sgd-b4", "adam-b4"],
    }  # fmt: skip
    figure = draw_histories(study, tmp_path).figure
    labels = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert labels == ["sgd", "adam"]
    assert [ax.get_title() for ax in figure.axes if ax.get_title()] == ["batch size 2", "batch size 4"]


def test_combinations_of_two_factors_share_colours_and_dashes_and_no_two_share_a_marker():
    styles = plots.optimizer_styles([f"{a}-{b}" for a in ("mlp", "softmax") for b in ("entropy", "squares", "hinge")])
    assert len({style.marker for style in styles.values()}) == 6
    assert len({style.color for style in styles.values()}) == 2
    assert len({str(style.dash) for style in styles.values()}) == 3


def test_two_factors_give_colour_and_dash():
    styles = plots.optimizer_styles([f"{name}-{b}" for name in ("sgd", "adam") for b in ("b1", "b8")])
    plain = plots.optimizer_styles(["sgd", "adam"])
    assert styles["sgd-b1"].color == styles["sgd-b8"].color == plain["sgd"].color
    assert styles["adam-b1"].color == plain["adam"].color
    assert styles["sgd-b1"].dash == styles["adam-b1"].dash != styles["sgd-b8"].dash


def test_a_study_within_a_setting_that_no_training_has_is_refused():
    with pytest.raises(UsageError, match="within='batchsize' is no setting"):
        Study("a", "?", "two-well", (Arm("sgd"),), (0,), within="batchsize")


def test_in_small_a_study_within_a_setting_still_has_two_arms_to_compare():
    arms = tuple(Arm(f"{n}-b{b}", {"optimizer": n, "batch_size": b}) for b in (1, 2) for n in ("sgd", "adam", "lion"))
    quick = Study("a", "?", "two-well", arms, (0, 1), within="batch_size").quick()
    assert [arm.label for arm in quick.arms] == ["sgd-b1", "adam-b1", "lion-b2"]
