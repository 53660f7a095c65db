"""What a study asks of its trainings."""

from __future__ import annotations

import pytest

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.study import Arm, Study, Tuning
from landscape.study.design import DENSE
from landscape.study.paper import methods
from landscape.study.tuning import tune


def small(**changes):
    settings = {"name": "small", "question": "?", "problem": "mlp-digits", "seeds": (0,),
                "problem_config": {"hidden": [5], "num_train": 60}, "arms": (Arm("sgd"), Arm("other"))}  # fmt: skip
    return Study(**settings | changes)


def test_arms_that_are_compared_at_equal_loss_save_checkpoints_where_their_losses_fall():
    study = small()
    assert study.settings_of(study.arms[0])["save_losses"] == DENSE
    assert small(settings={"save_losses": 2.0}).settings_of(study.arms[0])["save_losses"] == 2.0
    assert small(matched=False).settings_of(study.arms[0])["save_losses"] == 0
    assert small(arms=study.arms[:1]).settings_of(study.arms[0])["save_losses"] == 0
    problems = tuple(Arm(f"w{w}", {"problem_config": {"hidden": [w]}}) for w in (3, 4))
    assert small(arms=problems).settings_of(problems[0])["save_losses"] == 0
    assert small(arms=problems, same_loss=("hidden",)).settings_of(problems[0])["save_losses"] == DENSE


def test_keys_that_leave_the_loss_as_it_is_are_such_that_arms_set_and_survive_json():
    starts = tuple(Arm(f"i{i}", {"problem_config": {"imbalance": i}}) for i in (1.0, 2.0))
    study = small(problem="matrix-factorization", problem_config={}, arms=starts, same_loss=("imbalance",))
    assert study.is_matched()
    assert Study.from_json(study.to_json()).same_loss == ("imbalance",)
    with pytest.raises(UsageError, match="same_loss has rank, which no arm sets"):
        small(problem="matrix-factorization", problem_config={}, arms=starts, same_loss=("rank",))


def test_methods_name_an_adversary_where_there_is_one():
    arms = (Arm("plain"), Arm("robust", {"adversary": "linf"}))
    said = {label: methods(study, tune(study, None, workers=1)) for label, study in
            {"none": small(), "some": small(arms=arms)}.items()}  # fmt: skip
    assert "adversary" not in said["none"]
    assert "plain: sgd, learning rate 0.1, no adversary, weight decay 0.0." in said["some"]
    assert "adversary linf (radius = 0.1, steps = 1), weight decay 0.0." in said["some"]


def test_trainings_of_the_tuning_may_be_of_fewer_examples_and_the_methods_say_so(tmp_path):
    study = small(
        settings={"epochs": 3, "batch_size": 20},
        tuning=Tuning((1.0, 2.0), (9,), settings={"epochs": 1, "problem_config": {"num_train": 40}}),
    )
    choices = tune(study, tmp_path, workers=1)
    last = CheckpointDir(next((tmp_path / "tuning" / "sgd").iterdir()))[-1]
    assert (last.step, last.config["problem_config"]["num_train"]) == (2, 40)
    assert study.settings_of(study.arms[0])["problem_config"]["num_train"] == 60
    assert "over seed 9, which is not evaluated, in trainings of epochs 1, num train 40." in methods(study, choices)
    assert study.quick().problem_config["num_train"] == 40
    assert Study.from_json(study.to_json()).tuning == study.tuning
