"""The paper of a study: three pages at most and nothing over the edge, whether there are two arms or twelve."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from landscape.store import load_results
from landscape.study import Arm, Study, Tuning
from landscape.study.findings import Material
from landscape.study.paper import limits, write_paper
from landscape.study.sentences import findings, over_seeds
from landscape.study.trainings import TrainingJob, train_all
from landscape.study.tuning import Choice
from tests.support.latex import compiled, needs_latex, pages
from tests.support.synthetic_results import make_results

NAMES = ("adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd", "adamw", "lion", "sam", "asam", "gd", "signsgd")


def paper(folder: Path, arms: int, **changes) -> Path:
    """Of synthetic results, with five seeds, at the end and at equal loss."""
    names = NAMES[:arms]
    results = make_results(folder / "runs", optimizers=names, seeds=(0, 1, 2, 3, 4), vectors=False, steps=(8, 9, 10))
    settings = {
        "name": "many-arms", "question": "Which of them? " * 8, "problem": "lenet-digits",
        "arms": tuple(Arm(name, {"optimizer": name}) for name in names), "seeds": (0, 1, 2, 3, 4),
        "tuning": Tuning(seeds=(1000,)),
    }  # fmt: skip
    study = Study(**settings | changes)
    choices = [Choice(name, 0.1, {0.01: 1.0, 0.1: 0.5}) for name in names]
    return write_paper(Material(study, choices, ["sgd-s9: it diverged"], results, results), folder / "paper")


@pytest.mark.slow
@needs_latex
@pytest.mark.parametrize("arms", [2, 7, 8, 12])
def test_a_paper_has_three_pages_at_most_and_nothing_over_the_edge(arms, tmp_path):
    said = compiled(paper(tmp_path, arms, spread=arms == 2))
    assert pages(said) <= 3
    over = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", said)]
    assert max(over, default=0.0) < 5, "something stands over the edge of its column by more than a hair"


def test_the_table_of_means_says_n_only_where_groups_differ_in_it(tmp_path):
    folder = paper(tmp_path, 2).parent
    assert "n=5" not in (folder / "means.tex").read_text()
    assert "Means over 5 seeds" in (folder / "report.tex").read_text()


def test_sentences_leave_out_an_interval_below_their_digits():
    assert over_seeds([0.25 + 1e-12 * i for i in range(5)]) == "0.25"
    assert over_seeds([1.0, 2.0, 3.0, 4.0, 5.0]) == "3.0 ± 2.0"


def test_a_number_that_all_arms_share_is_said_once(tmp_path):
    found = [
        ("train_loss", "a", 1.0),
        ("train_loss", "b", 2.0),
        ("lambda_max", "a", 2.0082),
        ("lambda_max", "b", 2.00821),
    ]
    rows = [(group, measure, 5, mean, mean - 0.1, mean + 0.1, 0.1, "linear") for measure, group, mean in found]
    means = pd.DataFrame(rows, columns=["group", "measure", "n", "mean", "low", "high", "std", "scale"])
    results = load_results(make_results(tmp_path, optimizers=("a", "b"), vectors=False, steps=(1,)))
    study = SimpleNamespace(within="", primary="trace")
    material = SimpleNamespace(
        study=study, found=results, means=means, pairs=None, at_equal_loss=None, spreads=None, wells=None
    )
    told = findings(material)
    assert "The training loss at the end: a 1.00 ± 0.10, b 2.00 ± 0.10." in told
    assert "The smallest λ_max is the same in all arms: 2.01." in told
    assert told[0].endswith("is tr H, which was not measured; all others are secondary.")


@pytest.mark.slow
@needs_latex
def test_twelve_arms_of_two_factors_fit_with_paths_histories_and_differences(tmp_path):
    """Four optimizers at three noises, trained for a few steps: no pair of different noises is compared."""
    study = Study(
        name="two-factors",
        question="Which of them, at which noise?",
        problem="noisy-linear",
        problem_config={"num_examples": 20},
        arms=tuple(
            Arm(f"{name}-s{sigma}", {"optimizer": name, "problem_config": {"sigma": sigma}})
            for sigma in (0, 1, 5)
            for name in ("sgd", "polyak-sgd", "polyak-sgd-max", "polyak-adam")
        ),
        seeds=(0, 1, 2),
        settings={"epochs": 3, "batch_size": 5, "save_every": 2},
        within="problem_config",
        paths=True,
        histories=True,
    )
    jobs = [
        TrainingJob(tmp_path / "runs" / arm.run(seed), study.settings_of(arm, seed=seed))
        for arm in study.arms
        for seed in study.seeds
    ]
    train_all(jobs, workers=1)
    labels = [arm.label for arm in study.arms]
    configs = {label: {"problem_config": {"sigma": int(label.split("-s")[-1])}} for label in labels}
    results = make_results(
        tmp_path / "runs", optimizers=labels, seeds=(0, 1, 2), vectors=False, steps=(12,), configs=configs
    )
    choices = [Choice(label, 0.1, {}) for label in labels]
    path = write_paper(Material(study, choices, [], results), tmp_path / "paper")
    assert pages(compiled(path)) <= 3
    text = path.read_text()
    assert [f"figures/{name}.pdf" in text for name in ("paths", "histories", "differences")] == [True] * 3
    pairs = pd.read_csv(path.parent / "contrasts.csv")
    assert {(a.split("-s")[-1], b.split("-s")[-1]) for a, b in zip(pairs["a"], pairs["b"], strict=True)} == {
        ("0", "0"), ("1", "1"), ("5", "5"),
    }  # fmt: skip
    assert "With sigma = 1, the training loss" in text
    assert len((path.parent / "means.tex").read_text().split("midrule")[1].split(r"\\")) == 12 + 1


def test_arms_that_could_not_be_matched_closely_are_pointed_out(tmp_path):
    """The synthetic results lie at nearly one loss; one arm's are doubled."""
    results = load_results(make_results(tmp_path / "runs", optimizers=("adam", "sgd"), vectors=False, steps=(1,)))
    study = Study("close", "?", "lenet-digits", (Arm("adam"), Arm("sgd")), (0, 1))
    material = Material(study, [], [], tmp_path / "runs" / "results.h5", tmp_path / "runs" / "results.h5")
    assert len(results.runs) == 4
    means = material.at_equal_loss
    rows = means["measure"] == "train_loss"
    means.loc[rows, ["mean", "gmean"]] = [[0.10, 0.10], [0.11, 0.11]]
    assert not any("At equal training loss" in note for note in limits(material))
    means.loc[rows, ["mean", "gmean"]] = [[0.10, 0.10], [0.14, 0.14]]
    assert any("still differ in it (0.1 to 0.14)" in note for note in limits(material))
