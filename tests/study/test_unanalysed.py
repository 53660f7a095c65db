"""A study of a game: trained and tuned as any other, and measured by its problem alone."""

from __future__ import annotations

import pytest

from landscape.checkpoints import CheckpointDir
from landscape.study import Arm, Study, Tuning, run_study
from landscape.study.unanalysed import GRADIENT, quantities_of, read_measured


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("game")
    study = Study(
        "game", "Does a look ahead end nearer?", "gan",
        (Arm("plain", {"optimizer": "gd"}), Arm("ahead", {"optimizer": "extragradient"})), (0, 1, 2),
        problem_config={"kind": "dirac", "num_examples": 8},
        settings={"epochs": 300, "batch_size": 8, "save_every": 100, "lr": 0.1},
        tuning=Tuning((1.0, 5.0), (9,), by="grad_norm"), histories=True, watched="gradient_norm", analysed=False,
    )  # fmt: skip
    return study, out, run_study(study, out, workers=1)


def test_what_stands_of_every_run_is_what_its_problem_measures_at_the_last_checkpoint(done):
    study, out, _ = done
    found = read_measured(study, out)
    assert len(found) == 6
    for arm, seed, folder in study.runs_in(out / "runs"):
        last, problem = CheckpointDir(folder)[-1], study.problem_of(arm)
        expected = problem.measures(last.model(problem), "train") | {GRADIENT: last.metrics["grad_norm"]}
        assert found[arm.label, seed] == pytest.approx(expected)


def test_rates_are_chosen_by_the_length_of_the_field_and_the_finding_is_told(done):
    _, out, outcome = done
    assert [choice.lr for choice in outcome.choices if choice.label == "ahead"] == [0.5]
    said = (out / "paper" / "findings.txt").read_text()
    assert said.startswith("Length of the gradient that is followed: ahead")
    text = outcome.paper.read_text()
    assert "follows the gradient of no loss" in text
    assert "Eigenpairs" not in text
    assert {file.stem for file in (out / "paper" / "figures").glob("*.pdf")} == {"histories", "relations"}
    assert not (out / "runs" / "results.h5").exists()


def test_it_is_not_matched_by_a_loss_and_survives_json(done):
    study, _, _ = done
    assert not study.is_matched()
    assert Study.from_json(study.to_json()).analysed is False


def test_an_arm_without_a_measure_that_others_have_is_not_in_it():
    found = {("a", 0): {"x": 1.0, "y": 2.0}, ("b", 0): {"x": 3.0}}
    by_words = {quantity.words: quantity for quantity in quantities_of(found)}
    assert set(by_words["y"].values) == {"a"}
    assert by_words["x"].complete(["a", "b"]) == {"a": {0: 1.0}, "b": {0: 3.0}}
