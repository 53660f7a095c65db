"""What a tuning tries besides learning rates, in which order, what it takes, and how that is told and stored."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.problems import get_problem
from landscape.study import Arm, Study, Tuning
from landscape.study.grids import grid_words
from landscape.study.methods import methods
from landscape.study.paper import limits
from landscape.study.run import _evaluations, _same
from landscape.study.tuning import tune

ONE_DIRECTION = {"eigenvalues": [1.0], "num_examples": 64, "noise": 1.0}


def small(**changes):
    settings = {
        "name": "tuned", "question": "?", "problem": "quadratic", "problem_config": ONE_DIRECTION, "seeds": (0,),
        "arms": (Arm("sgd", {"optimizer": "sgd", "lr": 0.3}),), "settings": {"epochs": 4}, "matched": False,
    }  # fmt: skip
    return Study(**settings | changes)


def chosen(study, folder):
    return tune(study, folder, workers=1)


def excess_loss(batch, *, lr, epochs, start):
    """E[L] − L* of SGD on batches drawn anew each step, by the recursion of the moments of w − w*."""
    problem = get_problem("quadratic", ONE_DIRECTION)
    x, y = problem.data("train")[0][:, 0].double(), problem.data("train")[1][:, 0].double()
    best = float((x * y).mean() / (x * x).mean())
    curvature, noise = x * x, x * (y - best * x)
    m1, m2 = start - best, (start - best) ** 2
    a, c = float(curvature.mean()), -float((curvature * noise).mean())  # the mean of the noise is zero
    share = (64 - batch) / 63 / batch  # of the variance of one example, in that of the mean of a batch
    for _ in range(epochs * 64 // batch):
        squared = a * a + share * float(curvature.var(unbiased=False))
        added = lr**2 * share * (float(noise.square().mean()) + 2 * c * m1)
        m2 = (1 - 2 * lr * a + lr**2 * squared) * m2 + added
        m1 *= 1 - lr * a
    return 0.5 * a * m2


def test_the_batch_size_that_is_best_on_a_noisy_quadratic_is_found(tmp_path):
    """Small batches end in noise, the whole data far from the minimum; what lies between is known in closed form."""
    batches = (2, 16, 64)
    starts = [float(get_problem("quadratic", ONE_DIRECTION).make_model(seed).w.detach()) for seed in range(50, 56)]
    known = {
        b: sum(excess_loss(b, lr=0.3, epochs=4, start=start) for start in starts) / len(starts) for b in batches
    }  # fmt: skip
    others = [loss for batch, loss in known.items() if batch != 16]
    assert 3 * known[16] < min(others)
    study = small(tuning=Tuning((1.0,), tuple(range(50, 56)), over={"batch_size": batches}))
    (choice,) = chosen(study, tmp_path)
    assert choice.settings == {"batch_size": 16}
    assert not choice.edges
    scores = {trial.settings["batch_size"]: trial.score - 0.5 for trial in choice.trials}  # L* is noise²/2
    assert scores[64] == pytest.approx(known[64], rel=1e-3)  # nothing is drawn from the whole data
    assert 3 * scores[16] < min(scores[2], scores[64])


def test_an_option_of_an_arm_is_tried_at_the_best_rate_and_the_best_is_taken(tmp_path):
    """A Polyak step on ½λd² with the true f* = ½ halves the distance; with a lower one it never settles."""
    grids = {"options": ({"lowest": 0.0}, {"lowest": 0.5}, {"lowest": 0.9})}
    arm = Arm("polyak", {"optimizer": "polyak-sgd", "lr": 1.0, "batch_size": 64, "epochs": 20}, over=grids)
    (choice,) = chosen(small(arms=(arm,), tuning=Tuning((1.0,), (7,))), tmp_path)
    assert choice.settings == {"options": {"lowest": 0.5}}
    assert min(trial.score for trial in choice.trials) == pytest.approx(0.5, abs=1e-5)
    assert len(choice.trials) == 3  # 0 is what the arm has anyway
    assert not choice.edges


def test_rates_and_batches_are_tried_jointly_and_then_each_arm_has_as_many_trials_of_its_own(tmp_path):
    arms = (
        Arm("sgd", {"optimizer": "sgd", "lr": 0.1}, over={"lr": (0.5, 2.0)}),
        Arm("momentum", {"optimizer": "momentum", "options": {"weight_decay": 0.1}},
            over={"options": ({"momentum": 0.5}, {"momentum": 0.8})}),
    )  # fmt: skip
    study = small(arms=arms, tuning=Tuning((0.1, 1.0), (7,), over={"batch_size": (16, 32)}))
    first, second = chosen(study, tmp_path)
    assert [len(choice.trials) for choice in (first, second)] == [6, 6]
    for choice in (first, second):
        assert {(t.lr, t.settings["batch_size"]) for t in choice.trials[:4]} == {
            (rate, batch) for rate in sorted({t.lr for t in choice.trials[:4]}) for batch in (16, 32)
        }
        best = min(choice.trials[:4], key=lambda trial: trial.score)
        assert all(trial.settings["batch_size"] == best.settings["batch_size"] for trial in choice.trials[4:])
    best = min(first.trials[:4], key=lambda trial: trial.score).lr
    assert [trial.lr for trial in first.trials[4:]] == pytest.approx([best / 2, best * 2])
    assert [trial.settings["options"] for trial in second.trials[4:]] == [
        {"weight_decay": 0.1, "momentum": 0.5}, {"weight_decay": 0.1, "momentum": 0.8},
    ]  # fmt: skip
    text = methods(study, [first, second])
    assert "0.1, 1 times each optimizer's usual one, jointly with batch size 16, 32, by mean train loss" in text
    assert "for sgd learning rates 0.5, 2 times that; for momentum momentum 0.5, 0.8." in text
    assert "Every arm had 6 trials." in text
    assert "twice the batch takes half as many steps" in text
    uneven = methods(study, [first, replace(second, trials=second.trials[:5])])
    assert "Trials: sgd 6, momentum 5." in uneven


def test_a_trial_is_a_folder_and_what_is_there_is_not_trained_again(tmp_path):
    grids = {"options": ({"betas": (0.8, 0.9)},)}
    arm = Arm("adam", {"optimizer": "adam", "lr": 0.1}, over=grids)
    study = small(arms=(arm,), tuning=Tuning((1.0,), (7,), over={"batch_size": (16, 64)}))
    first = chosen(study, tmp_path)
    folders = {path.name for path in (tmp_path / "tuning" / "adam").iterdir()}
    batch = first[0].trials[-1].settings["batch_size"]
    assert folders == {
        "lr-0.1-batch_size-16-s7", "lr-0.1-batch_size-64-s7", f"lr-0.1-batch_size-{batch}-betas-0.8-0.9-s7",
    }  # fmt: skip
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step_*.h5")}
    assert chosen(study, tmp_path) == first
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step_*.h5")} == times


def test_the_evaluated_runs_have_what_was_chosen_beside_their_own_options(tmp_path):
    arm = Arm("adam", {"optimizer": "adam", "lr": 0.1, "options": {"eps": 1e-6}},
              over={"options": ({"betas": (0.5, 0.9)},)})  # fmt: skip
    study = small(arms=(arm,), tuning=Tuning((1.0,), (7,), over={"batch_size": (64,)}))
    (choice,) = chosen(study, tmp_path)
    choice = replace(choice, settings=choice.trials[-1].settings)
    (job,) = _evaluations(study, [choice], tmp_path)
    assert (job.settings["batch_size"], job.settings["seed"]) == (64, 0)
    assert (job.settings["options"]["betas"], job.settings["options"]["eps"]) == ([0.5, 0.9], 1e-6)
    text = methods(study, [choice])
    assert re.search(r"adam: adam, learning rate 0.1, .*betas \[?\(?0.5, 0.9", text)
    tried = CheckpointDir(next((tmp_path / "tuning" / "adam").glob("*betas-0.5-0.9*")))[-1].config
    assert (tried["options"]["betas"], tried["options"]["eps"]) == ([0.5, 0.9], 1e-6)


def test_a_choice_at_the_end_of_a_grid_of_numbers_is_named_in_the_limits(tmp_path, monkeypatch):
    study = small(tuning=Tuning((1.0,), (7,), over={"batch_size": (2, 64), "schedule": ("constant", "cosine")}))
    (choice,) = chosen(study, tmp_path)
    assert choice.edges == ("batch size",)

    class Found:
        choices, at_equal_loss, unmatched, diverged, pairs, courses = [choice], None, "", [], None, {}

    Found.study, Found.means = study, type("Means", (), {"attrs": {}})()
    assert limits(Found) == ["Tuned to the first or last of what was tried: sgd (batch size)."]
    assert str(choice).endswith("(at the edge of its grid: batch size)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Tuning(over={"epochs": (1, 2)}), "tuning: 'epochs' cannot be tuned; there are batch_size"),
        (lambda: Tuning(over={"lr": (1.0,)}), "'lr' cannot be tuned"),
        (lambda: Tuning(over={"batch_size": ()}), "must be values to try, at least one"),
        (lambda: Tuning(over={"batch_size": (16, 16)}), "has a value twice"),
        (lambda: Tuning(over={"batch_size": (16,)}, settings={"batch_size": 8}), "so settings must leave it alone"),
        (lambda: Arm("a", over={"lr": (0.0,)}), "arm a: a factor of lr=0.0 must be a positive number"),
        (lambda: Arm("a", over={"options": (0.9,)}), "must be mappings"),
        (lambda: Arm("a", over={"options": ({"x": object()},)}), "must be plain values"),
        (lambda: small(arms=(Arm("a", over={"lr": (2.0,)}),)), "arm a has grids to try, and the study no tuning"),
        (lambda: small(tuning=Tuning(over={"batch_size": (0,)})), "batch_size=0 must be a whole number"),
        (
            lambda: small(arms=(Arm("a", over={"options": ({"betas": 1},)}),), tuning=Tuning()),
            "optimizer 'gd' has no option 'betas'",
        ),
        (
            lambda: small(tuning=Tuning(over={"batch_size": (16, 64)}), within="batch_size"),
            "within one batch_size, so it cannot be tuned",
        ),
    ],
)  # fmt: skip
def test_grids_that_cannot_be_tried_are_refused_before_anything_runs(make, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        make()


def test_grids_come_back_from_json_and_folders_from_before_there_were_any_are_those_of_the_same_study():
    arm = Arm("adam", {"optimizer": "adam"}, over={"options": ({"betas": (0.9, 0.95)},)})
    study = small(arms=(arm,), tuning=Tuning((1.0, 3.0), (7,), over={"batch_size": (16, 64, 32)}))
    again = Study.from_json(study.to_json())
    assert again == study
    assert again.to_json() == study.to_json()
    assert not _same(small(arms=(replace(arm, over={}),), tuning=study.tuning).to_json(), study)
    plain = small(tuning=Tuning((1.0, 3.0), (7,)))
    before = json.loads(plain.to_json())
    for key in ("validation", "blocks", "writing"):
        del before[key]
    del before["tuning"]["over"]
    for one in before["arms"]:
        del one["over"]
    assert _same(json.dumps(before), plain)


def test_in_small_a_grid_has_two_values():
    arm = Arm("a", {"optimizer": "sgd"}, over={"lr": (0.5, 2.0, 4.0)})
    quick = small(arms=(arm,), tuning=Tuning(over={"batch_size": (16, 32, 64)})).quick()
    assert quick.tuning.over == {"batch_size": (16, 32)}
    assert quick.arms[0].over == {"lr": (0.5, 2.0)}


def test_grids_in_words():
    assert grid_words("schedule", ["constant", "cosine"]) == "schedule constant, cosine"
    assert grid_words("options", [{"c": 1}, {"lowest": 0.5, "c": 2}]) == "c 1; lowest 0.5, c 2"
