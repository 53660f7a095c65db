"""Studies: the design is checked before anything runs, rates are tuned as declared, and what stopped goes on."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pandas as pd
import pytest

from landscape.checkpoints import CheckpointDir
from landscape.comparison import at_equal_loss, compare
from landscape.errors import UsageError
from landscape.rounding import format_value
from landscape.store import load_results, rows
from landscape.store.levels import analyzed_levels
from landscape.study import Arm, Study, Tuning, run_study
from landscape.study.paper import methods
from landscape.study.trainings import TrainingJob, train_all
from landscape.study.tuning import Choice, rates, tune
from tests.support.latex import compiled, needs_latex, pages

TINY = {"plan": "quick", "last": 1, "density_probes": 2, "steps": 8, "points": 5, "plane_points": 5,
        "directions": 1, "samples": 2, "barriers": 0}  # fmt: skip


def small(**changes):
    settings = {
        "name": "small",
        "question": "Does it run?",
        "problem": "mlp-digits",
        "problem_config": {"hidden": [5], "num_train": 60},
        "arms": (Arm("sgd"), Arm("adam", {"optimizer": "adam", "lr": 0.01})),
        "seeds": (0, 1, 2),
        "settings": {"epochs": 3, "batch_size": 20, "save_every": 1},
        "plan": TINY,
    }
    return Study(**settings | changes)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A study run once, with what it said."""
    study, folder, said = small(tuning=Tuning((0.3, 1.0), (100,)), spread=True), tmp_path_factory.mktemp("study"), []
    return study, run_study(study, folder, workers=1, say=said.append), said


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """Figures and report take most of a small study's time; ``done`` has them, and the studies of the scripts."""
    monkeypatch.setattr("landscape.analysis.pipeline.write_report", lambda results: None)


# --- the design -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arms": ()}, "there are none"),
        ({"arms": (Arm("a"), Arm("a"))}, "labels of their own"),
        ({"seeds": (1, 1)}, "each once"),
        ({"seeds": (0, 100), "tuning": Tuning(seeds=(100,))}, r"seeds \[100\] are tuned on and evaluated"),
        ({"arms": (Arm("a", {"optimizer": "lyon"}),)}, "optimizer='lyon'"),
        ({"settings": {"learning_rate": 1}}, "unknown setting 'learning_rate'"),
        ({"problem": "digits"}, "unknown problem 'digits'"),
        ({"primary": "lambda"}, "primary='lambda' is not one of 'train_loss'"),
        ({"plan": {"eigs": 1}}, "eigs=1 must be a whole number of at least 2"),
    ],
)
def test_a_design_that_cannot_be_run_is_refused_at_once(changes, said):
    with pytest.raises(UsageError, match=said):
        small(**changes)


def test_labels_and_grids_are_checked():
    for label in ("", "a b", "../a"):
        with pytest.raises(UsageError, match="names a folder"):
            Arm(label)
    with pytest.raises(UsageError, match="positive"):
        Tuning(grid=(0.0,))
    with pytest.raises(UsageError, match="by='loss'"):
        Tuning(by="loss")


def test_a_design_comes_back_from_json():
    study = small(tuning=Tuning((0.5, 2.0), (7,), "test_accuracy"))
    again = Study.from_json(study.to_json())
    assert again.to_json() == study.to_json()
    assert again.arms[1].settings == {"optimizer": "adam", "lr": 0.01}
    assert again.tuning == study.tuning


def test_a_factor_of_the_problem_is_a_setting_of_the_arm():
    study = small(arms=tuple(Arm(f"w{w}", {"problem_config": {"hidden": [w]}}) for w in (3, 4)))
    configs = [study.settings_of(arm)["problem_config"] for arm in study.arms]
    assert [c["hidden"] for c in configs] == [[3], [4]]
    assert all(c["num_train"] == 60 for c in configs)


# --- tuning -----------------------------------------------------------------------------------------------------------


def test_the_best_rate_of_the_grid_is_taken_and_divergence_loses(tmp_path):
    """Gradient descent on curvatures 1 and 10 contracts by max|1 − ηλ|: best at 2/11, diverging beyond 0.2."""
    study = Study(
        name="tuned",
        question="?",
        problem="quadratic",
        problem_config={"eigenvalues": [10.0, 1.0], "noise": 0.0},
        arms=(Arm("gd", {"optimizer": "gd", "lr": 0.1}),),
        seeds=(0,),
        settings={"epochs": 300},
        tuning=Tuning(grid=(0.1, 1.0, 1.8, 25.0), seeds=(50, 51)),
    )
    (choice,) = tune(study, tmp_path, workers=1)
    assert choice.lr == pytest.approx(0.18)
    assert list(choice.scores) == pytest.approx([0.01, 0.1, 0.18, 2.5])
    assert choice.scores[2.5] == float("inf")
    assert not choice.at_edge


def test_a_best_rate_at_the_end_of_the_grid_is_marked(tmp_path):
    study = small(tuning=Tuning((1e-4, 1e-3), (9,)))
    assert all(choice.at_edge for choice in tune(study, tmp_path, workers=1))
    assert rates(study, study.arms[1]) == [1e-6, 1e-5]


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_study_leaves_runs_results_a_paper_and_what_reproduces_it(done):
    study, outcome, said = done
    names = {path.name for path in (outcome.folder / "runs").iterdir() if path.is_dir()}
    assert {f"{arm}-s{seed}" for arm in ("sgd", "adam") for seed in (0, 1, 2)} <= names
    results = load_results(outcome.results)
    frame = compare(results, by="label")
    assert set(frame[frame["measure"] == "lambda_max"]["group"]) == {"sgd", "adam"}
    assert (frame[frame["measure"] == "lambda_max"]["n"] == 3).all()
    assert (outcome.folder / "runs" / "report.html").exists()
    assert Study.load(outcome.folder).to_json() == study.to_json()
    facts = json.loads((outcome.folder / "reproduce.json").read_text())
    assert [c["label"] for c in facts["learning_rates"]] == ["sgd", "adam"]
    assert any("measuring" in line for line in said)


def test_the_evaluated_runs_have_the_tuned_rates(done):
    _, outcome, _ = done
    for choice in outcome.choices:
        run = CheckpointDir(outcome.folder / "runs" / f"{choice.label}-s2")[-1]
        assert (run.config["lr"], run.config["seed"], run.config["label"]) == (choice.lr, 2, choice.label)


def test_the_paper_names_every_setting_and_leaves_no_mark_of_its_template(done):
    study, outcome, _ = done
    text = outcome.paper.read_text()
    for part in ("mlp-digits", "batch size 20", "epochs 3", "Seeds 0, 1, 2", "learning rate", "0.3, 1 times"):
        assert part in text
    assert not any(mark in text for mark in ("<<", ">>", "[%", "%]", "nan"))
    assert (outcome.paper.parent / "means.tex").exists()
    assert "p cannot fall below 0.25" in text
    assert "spreads.tex" in text
    assert "over seed 100, which is not evaluated" in text
    assert "adam: adam, learning rate" in methods(study, outcome.choices)


def test_the_methods_name_the_seeds_that_an_arm_holds_fast():
    study = small(arms=(Arm("both"), Arm("weights", {"order_seed": 0}), Arm("order", {"init_seed": 7})))
    text = methods(study, [Choice(arm.label, 0.1, {}) for arm in study.arms])
    assert "weights: sgd, learning rate 0.1, weight decay 0.0, seed of the order 0 in all runs." in text
    assert "seed of the weights 7 in all runs." in text
    assert text.count("in all runs") == 2


def test_the_arms_are_compared_where_their_training_loss_is_one(done):
    """Each run is read between two checkpoints that were trained, saved and measured, around the level."""
    _, outcome, _ = done
    results = load_results(outcome.results)
    found = at_equal_loss(results)
    assert found.levels == analyzed_levels(results.info) != ()
    assert not found.by_match
    runs = found.runs[(found.runs["measure"] == "lambda_max") & (found.runs["level"] == found.level)]
    assert set(runs["group"]) == {"sgd", "adam"}
    measured = {(row["run"], row["step"]): row for row in rows(results)}
    for row in runs.itertuples():
        saved = {c.step: c.metrics["train_loss"] for c in CheckpointDir(outcome.folder / "runs" / row.run)}
        assert saved[row.step_above] > row.level >= saved[row.step_below] * (1 - 1e-6)
        assert not [s for s, loss in saved.items() if s < row.step_below and loss < row.level * (1 - 1e-6)]
        ends = [measured[row.run, step]["lambda_max"] for step in (row.step_above, row.step_below)]
        assert min(ends) <= row.value <= max(ends)
    assert {"trace", "sharpness_adaptive_worst", "test_accuracy"} <= set(found.contrasts["measure"])


def test_the_comparison_at_equal_loss_comes_first_in_paper_and_report_and_has_the_matched_losses(done):
    _, outcome, _ = done
    text = outcome.paper.read_text()
    assert text.index("matched.tex") < text.index("means.tex")
    assert "figures/against_loss.pdf" in text
    first = (outcome.paper.parent / "findings.txt").read_text().splitlines()[0]
    level = format_value(at_equal_loss(outcome.results).level, digits=3)
    page = (outcome.folder / "runs" / "report.html").read_text()
    assert 0 < page.index(f"At a training loss of {level}") < page.index("here training stopped")
    assert first.startswith(f"At equal training loss ({level}, each run read between checkpoints at ")
    for name in ("levels", "runs", "contrasts"):
        assert len(pd.read_csv(outcome.paper.parent / f"matched_{name}.csv")) > 1


def test_arms_of_different_problems_are_not_matched(tmp_path):
    arms = (Arm("few", {"problem_config": {"num_train": 30}}), Arm("many"))
    outcome = run_study(small(arms=arms, seeds=(0,)), tmp_path, workers=1)
    assert analyzed_levels(load_results(outcome.results).info) == ()
    assert "not compared at equal" not in (outcome.paper.parent / "findings.txt").read_text()
    assert "matched.tex" not in outcome.paper.read_text()


@pytest.mark.slow
def test_paths_of_the_first_seed_are_drawn_over_the_loss(tmp_path):
    study = small(
        problem="poly-regression",
        problem_config={"num_examples": 20},
        arms=(Arm("sgd", {"lr": 0.1}), Arm("gd", {"optimizer": "gd", "lr": 0.3})),
        seeds=(0, 1),
        settings={"epochs": 4, "save_every": 1},
        paths=True,
    )
    outcome = run_study(study, tmp_path, workers=1)
    assert (outcome.paper.parent / "figures" / "paths.pdf").exists()
    assert "figures/paths.pdf" in outcome.paper.read_text()


def test_the_paper_s_figures_lie_beside_it_and_its_text_has_no_sign_that_pdftex_lacks(done):
    _, outcome, _ = done
    text = outcome.paper.read_text()
    for part in outcome.paper.parent.glob("*.tex"):
        odd = {c for c in part.read_text() if ord(c) > 0xFF}
        assert not odd, f"{part.name}: {odd}"
    figures = set(re.findall(r"includegraphics\[[^]]*\]\{([^}]*)\}", text))
    assert "figures/differences.pdf" in figures
    assert all((outcome.paper.parent / figure).exists() for figure in figures)


@needs_latex
def test_the_paper_compiles_to_three_pages_at_most(done, tmp_path):
    folder = shutil.copytree(done[1].paper.parent, tmp_path / "paper")
    assert pages(compiled(folder / "report.tex")) <= 3


def test_a_study_on_data_files_finds_them_and_does_not_depend_on_where_they_lie(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "words.txt").write_text("the cat sat on the mat and the dog sat on the cat. " * 30)
    config = {"file": "words.txt", "context": 8, "width": 8, "layers": 1, "heads": 2}
    arms = (Arm("adam", {"optimizer": "adam"}),)

    def on(folder):
        return small(
            problem="char-transformer-small", problem_config=config, arms=arms, data=str(tmp_path / folder),
            settings={"epochs": 1}, seeds=(0,),
        )  # fmt: skip

    assert on("one").to_json() == on("two").to_json()
    (done,) = train_all([TrainingJob(tmp_path / "run", on("two").settings_of(arms[0]), on("two").data)], workers=1)
    assert done.metrics["train_loss"] > 0
    again = Study.from_json(on("one").to_json(), data=str(tmp_path / "two"))
    assert again.data == str(tmp_path / "two")


def test_a_problem_of_one_s_own_can_be_studied(tmp_path, monkeypatch):
    (tmp_path / "my_line.py").write_text(
        "import landscape as ls\n\n\ndef line(sigma=1.0):\n"
        "    return ls.get_problem('noisy-linear', {'sigma': sigma, 'num_examples': 40})\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    study = small(
        problem="my_line:line", problem_config={"sigma": 0.5}, arms=(Arm("sgd", {"lr": 0.05}),), seeds=(0,),
        settings={"epochs": 2},
    )  # fmt: skip
    outcome = run_study(study, tmp_path / "out", workers=1)
    (run,) = load_results(outcome.results).runs
    assert run.info["problem"] == "my_line:line"
    assert "plane" in run.last.records  # one weight and one bias: filter normalisation alone spans no plane


@pytest.mark.slow
def test_a_study_that_stopped_goes_on_and_ends_the_same(done, tmp_path):
    study, outcome, _ = done
    folder = tmp_path / "stopped"
    shutil.copytree(outcome.folder, folder)
    shutil.rmtree(folder / "runs" / "adam-s1")
    (folder / "runs" / "results.h5").unlink()
    CheckpointDir(folder / "runs" / "sgd-s0").files[-1].unlink()
    before = (folder / "runs" / "sgd-s2" / "step_00000009.h5").stat().st_mtime_ns
    again = run_study(study, folder, workers=1)
    for run in ("adam-s1", "sgd-s0"):
        whole = CheckpointDir(outcome.folder / "runs" / run)[-1]
        assert CheckpointDir(folder / "runs" / run)[-1].params_sha256 == whole.params_sha256
    assert (folder / "runs" / "sgd-s2" / "step_00000009.h5").stat().st_mtime_ns == before
    first, second = (compare(o.results, by="label") for o in (outcome, again))
    assert first["mean"].to_list() == pytest.approx(second["mean"].to_list(), rel=1e-6)


@pytest.mark.slow
def test_a_study_whose_words_and_figures_changed_goes_on(done, tmp_path):
    study, outcome, _ = done
    folder = shutil.copytree(outcome.folder, tmp_path / "again")
    before = {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/step_*.h5")}
    run_study(replace(study, title="Another title", histories=True), folder, workers=1)
    assert {path: path.stat().st_mtime_ns for path in folder.glob("runs/*/step_*.h5")} == before
    text = (folder / "paper" / "report.tex").read_text()
    assert "Another title" in text
    assert "figures/histories.pdf" in text
    with pytest.raises(UsageError, match="holds another study"):
        run_study(replace(study, settings={**study.settings, "epochs": 4}), folder)


def test_a_folder_of_another_study_is_refused(done):
    study, outcome, _ = done
    with pytest.raises(UsageError, match="holds another study"):
        run_study(small(seeds=(0, 1)), outcome.folder)


@pytest.mark.slow
def test_a_run_that_diverges_is_told_and_the_others_are_measured(tmp_path):
    study = small(
        problem_config={"hidden": [5], "num_train": 60, "loss": "mse", "activation": "relu"},
        arms=(Arm("good"), Arm("bad", {"lr": 1e6})), seeds=(0, 1),
    )  # fmt: skip
    outcome = run_study(study, tmp_path, workers=1)
    assert [line.split(":")[0] for line in outcome.diverged] == ["bad-s0", "bad-s1"]
    assert {run.name for run in load_results(outcome.results).runs} == {"good-s0", "good-s1"}
    assert {path.name for path in (tmp_path / "diverged").iterdir()} == {"bad-s0", "bad-s1"}
    assert "Diverged: bad-s0" in outcome.paper.read_text()
    with pytest.raises(UsageError, match="every run of small diverged"):
        run_study(small(problem_config=study.problem_config, arms=(Arm("bad", {"lr": 1e6}),)), tmp_path / "none")


@pytest.mark.slow
def test_processes_side_by_side_give_what_one_after_the_other_gives(tmp_path):
    study = small()
    jobs = {
        name: [TrainingJob(tmp_path / name / str(seed), study.settings_of(study.arms[0], seed=seed)) for seed in (0, 1)]
        for name in ("one", "two")
    }
    one, two = train_all(jobs["one"], workers=1), train_all(jobs["two"], workers=2)
    assert [d.metrics for d in one] == [d.metrics for d in two]
