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
from landscape.study.numbers import over_seeds
from landscape.study.paper import limits, write_paper
from landscape.study.sentences import findings
from landscape.study.trainings import TrainingJob, train_all
from landscape.study.tuning import Choice
from tests.support.latex import compiled, needs_latex, pages
from tests.support.loss_curves import power, store_curves
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
    return write_paper(Material(study, choices, ["sgd-s9: it diverged"], results), folder / "paper")


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
    study = SimpleNamespace(
        within="", primary="trace", only=(), watched="", validation=False, blocks=None, forgetting={}
    )
    material = SimpleNamespace(
        study=study,
        found=results,
        means=means,
        pairs=None,
        at_equal_loss=None,
        matched_means=None,
        unmatched="",
        spreads=None,
        wells=None,
        costs=[],
        measured=[],
        blocks=None,
        forgetting={},
        samples=None,
        results=tmp_path / "results.h5",
    )
    told = findings(material)
    assert "The training loss at the end: a 1.00 ± 0.10, b 2.00 ± 0.10." in told
    assert "The smallest λ_max where training stopped is the same in all arms: 2.01." in told
    assert told[0].endswith("is tr H, which was not measured; all others are secondary.")


def gain_of(folder: Path, lower: float) -> str:
    """The sentence on second-order steps, of two arms whose gains are multiplied by ``lower``."""
    measures = [("second_order_gain", "a", 5 * lower), ("second_order_gain", "b", 9 * lower)]
    rows = [(group, measure, 5, mean, mean / 1.1, mean * 1.1, 0.1, "linear") for measure, group, mean in measures]
    means = pd.DataFrame(rows, columns=["group", "measure", "n", "mean", "low", "high", "std", "scale"])
    results = load_results(make_results(folder, optimizers=("a", "b"), vectors=False, steps=(1,)))
    material = SimpleNamespace(
        study=SimpleNamespace(within="", primary="trace", only=(), watched="", validation=False, blocks=None),
        found=results, means=means, pairs=None,
        at_equal_loss=None, matched_means=None, unmatched="", spreads=None, wells=None, costs=[],
        measured=[], blocks=None, forgetting={}, samples=None, results=folder / "results.h5",
    )  # fmt: skip
    return next(sentence for sentence in findings(material) if "econd-order" in sentence)


@pytest.mark.parametrize(("lower", "verdict"), [(2.0, "would pay at"), (0.5, "may pay"), (0.05, "would pay little")])
def test_second_order_steps_are_judged_at_equal_cost_and_by_the_worst_of_three_dampings(tmp_path, lower, verdict):
    """The synthetic gains double with a tenth of the damping and halve with ten times of it."""
    said = gain_of(tmp_path, lower)
    assert f"Second-order information {verdict}" in said
    assert "at equal cost, 20 products" in said
    assert "a tenth of the damping multiplies that by 2, ten times the damping by 0.5" in said


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


def matched(folder: Path, **arms) -> Material:
    """Two arms of two seeds, each with the losses given and λ_max = c √ℓ."""
    names = tuple(arms)
    runs = {f"{name}-s{seed}": ({"label": name, "seed": seed}, losses, power(c * (1 + 0.01 * seed), 0.5))
            for name, (losses, c) in arms.items() for seed in (0, 1)}  # fmt: skip
    folder.mkdir(exist_ok=True)
    store_curves(folder / "runs", runs)
    study = Study("close", "?", "lenet-digits", tuple(Arm(name, {"optimizer": name}) for name in names), (0, 1))
    return Material(study, [], [], folder / "runs")


def test_the_first_sentence_is_on_the_arms_at_one_loss_and_the_table_has_that_loss(tmp_path):
    """λ = 2√ℓ and 3√ℓ: at 0.1 that is 0.632 and 0.949, whatever checkpoints lie around it."""
    material = matched(tmp_path, adam=((1.0, 0.3, 0.04), 2.0), sgd=((1.0, 0.2, 0.1), 3.0))
    first, second, *_ = findings(material)
    assert first.startswith(
        "At equal training loss (0.1, each run read between checkpoints at 0.3 to 0.2 and 0.1 to 0.04)"
    )
    assert re.search(r"λ_max: adam 0.63\S* ×/÷ \S+, sgd 0.9[45]\S* ×/÷", first)
    assert second.startswith("Arm adam has the smallest λ_max at a training loss of 0.1: 0.63")
    assert "of which it has 0.667" in second
    table = material.matched_means
    assert table[table["measure"] == "train_loss"]["mean"].to_list() == pytest.approx([0.1, 0.1])


def test_ends_are_told_with_their_losses_in_the_same_sentence(tmp_path):
    material = matched(tmp_path, adam=((1.0, 0.04), 2.0), sgd=((1.0, 0.1), 3.0))
    means = material.means
    rows_ = means["measure"] == "train_loss"
    means.loc[rows_, ["mean", "gmean"]] = [[2e-4, 2e-4], [1e-3, 1e-3]]
    (said,) = (s for s in findings(material) if "smallest λ_max where training stopped" in s)
    first, other = ("0.0002", "0.001") if said.startswith("Arm adam") else ("0.001", "0.0002")
    assert f", at a training loss of {first} where the others stand at {other}" in said
    means.loc[rows_, ["mean", "gmean"]] = [[1e-3, 1e-3], [1.09e-3, 1.09e-3]]
    assert not any("where the others stand" in s for s in findings(material))


def test_wide_brackets_and_the_lack_of_any_are_limits(tmp_path):
    wide = matched(tmp_path / "wide", adam=((1.0, 0.04), 2.0), sgd=((0.2, 0.1), 3.0))
    assert any("more than a factor of 3 apart" in note for note in limits(wide))
    assert not any("landscape match" in note for note in limits(wide))
    none = matched(tmp_path / "none", adam=((1.0, 0.5), 2.0), sgd=((0.2, 0.1), 3.0))
    said = "The arms were not compared at equal training loss: no training loss lies between measured checkpoints of"
    assert any(note.startswith(said) for note in limits(none))
    assert findings(none)[0].startswith(said)


def test_an_arm_that_does_not_come_to_the_loss_is_named_in_the_first_sentence(tmp_path):
    material = matched(tmp_path, adam=((1.0, 0.3, 0.04), 2.0), sgd=((1.0, 0.2, 0.1), 3.0), spsa=((2.0, 1.5), 3.0))
    assert findings(material)[0].endswith("Not compared there: spsa.")
