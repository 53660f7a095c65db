"""Where there are groups to compare, two checkpoints of each run around a loss that most reach are measured too."""

from __future__ import annotations

import json
import shutil

import pytest

import landscape as ls
from landscape.analysis.plan import Plan
from landscape.analysis.survey import survey
from landscape.comparison import at_equal_loss
from landscape.plots.tails import tail_of_run
from landscape.store import load_results
from tests.support.runs import SMALL, make_runs

AROUND = {"point", "train", "test", "eigenpairs", "gap", "trace", "sharpness_worst", "sharpness_average",
          "sharpness_adaptive_worst", "sharpness_adaptive_average", "sharpness_normalized_worst",
          "sharpness_normalized_average"}  # fmt: skip
#: Run → training losses that were saved with its checkpoints, at steps 10, 20, …
FALLING = {
    "adam-s0": (2.0, 0.9, 0.3, 0.1, 0.02, 0.01),
    "adam-s1": (2.0, 0.8, 0.25, 0.05, 0.04, 0.03),
    "sgd-s0": (2.0, 1.5, 1.2, 0.6, 0.5, 0.2),
    "sgd-s1": (2.0, 1.4, 1.1, 0.7, 0.4, 0.1),
}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root, problem = tmp_path_factory.mktemp("saved"), ls.get_problem("mlp-digits", {"hidden": [3], "num_train": 30})
    model = problem.make_model(0)
    for run, losses in FALLING.items():
        for i, loss in enumerate(losses, 1):
            config = {"label": run.split("-")[0], "seed": int(run[-1])}
            ls.save_checkpoint(root / run, model, step=10 * i, metrics={"train_loss": loss}, config=config)
    return root


def steps_of(found):
    """Run → the steps that are measured, those between which groups are compared, those measured for a level alone."""
    there = {}
    for files, checkpoints in found.runs.items():
        assert [str(checkpoint.path) for checkpoint in checkpoints] == list(files.files)
        steps = [checkpoint.step for checkpoint in checkpoints]
        there[files.run] = steps, [steps[i] for i in files.compared], list(files.around)
    return there


def test_the_checkpoints_around_the_lowest_loss_that_most_runs_reach_are_chosen_beside_the_last(saved):
    """0.2 is the lowest loss that both runs of both arms reach: sgd-s0 ends there."""
    found = survey(saved, Plan("quick", last=2, levels=1))
    assert found.levels == (0.2,)
    assert steps_of(found) == {
        "adam-s0": ([30, 40, 50, 60], [30, 40], [30, 40]),
        "adam-s1": ([30, 40, 50, 60], [30, 40], [30, 40]),
        "sgd-s0": ([50, 60], [50, 60], []),
        "sgd-s1": ([50, 60], [50, 60], []),
    }


def test_around_higher_levels_no_more_is_measured_than_at_the_last_iterations(saved):
    """At 0.2·√10 = 0.632, too; of adam-s0 that lies between 0.9 and 0.3, of sgd-s0 between 1.2 and 0.6."""
    found = survey(saved, Plan("quick", last=1, levels=2))
    assert found.levels == pytest.approx((0.2, 0.2 * 10**0.5))
    steps = steps_of(found)
    assert steps["adam-s0"] == ([20, 30, 40, 60], [30, 40], [20, 30, 40])
    assert steps["sgd-s0"] == ([30, 40, 50, 60], [50, 60], [30, 40, 50])


def test_where_nobody_asks_or_there_is_one_group_the_last_are_all(saved, tmp_path):
    assert survey(saved, Plan("quick", last=2, levels=0)).levels == ()
    for run in ("adam-s0", "adam-s1"):
        shutil.copytree(saved / run, tmp_path / run)
    found = survey(tmp_path, Plan("quick", last=2, levels=4))
    assert found.levels == ()
    assert steps_of(found)["adam-s0"] == ([50, 60], [], [])


def test_a_folder_that_was_made_for_a_loss_is_measured_around_that(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    (copy / "matching.json").write_text(json.dumps({"levels": [0.55, 1.3]}))
    found = survey(copy, Plan("quick", last=1, levels=1))
    assert found.levels == (0.55, 1.3)
    assert steps_of(found)["sgd-s0"] == ([20, 30, 40, 50, 60], [40, 50], [20, 30, 40, 50])


def test_a_checkpoint_on_the_way_that_cannot_be_read_is_named_and_its_neighbours_serve(saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    (copy / "adam-s0" / "step_00000040.h5").write_bytes(b"cut off")
    found = survey(copy, Plan("quick", last=1, levels=1))
    assert [bad["file"] for bad in found.left_out] == ["adam-s0/step_00000040.h5"]
    assert steps_of(found)["adam-s0"] == ([30, 50, 60], [30, 50], [30, 50])


def test_losses_along_huge_checkpoints_are_not_read(saved, monkeypatch):
    monkeypatch.setattr("landscape.analysis.survey.MOST_BYTES", 1000)
    found = survey(saved, Plan("quick", last=1, levels=1))
    assert found.levels == ()
    assert steps_of(found)["adam-s0"] == ([60], [], [])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two arms of one run each, three checkpoints; only the first two pass a loss that both reach."""
    folder = make_runs(tmp_path_factory.mktemp("runs"), train_loss=True)
    for name in ("adam-s1", "sgd-s1"):
        shutil.rmtree(folder / name)
    plan = {**SMALL.fields(), "last": 1, "levels": 1, "barriers": 0, "subsets": 0, "workers": 1}
    return load_results(ls.analyze(folder, ls.Plan(**plan)))


def test_around_the_level_trace_and_sharpness_are_measured_and_what_costs_more_at_the_end_alone(results):
    run = results.run("adam-s0")
    around = [checkpoint for checkpoint in run.checkpoints if checkpoint.step in run.info["around"]]
    assert around
    for checkpoint in around:
        assert set(checkpoint.records) == AROUND
        assert checkpoint.records["eigenpairs"].which == "largest"
    assert {"density", "plane", "line_eigenvector_1", "second_order_gain", "sharpness_keskar"} <= set(
        run.last.records
    ) - AROUND


def test_groups_are_compared_where_the_analysis_chose_and_the_last_iterations_leave_that_out(results):
    found = at_equal_loss(results)
    assert found.levels == tuple(results.info["levels"])
    assert not found.by_match
    assert set(found.centres("lambda_max")) == {"adam", "sgd"}
    for run in results.runs:
        assert len(tail_of_run(run, "lambda_max").steps) == 1
