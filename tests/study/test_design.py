"""What a study asks of its trainings."""

from __future__ import annotations

from landscape.checkpoints import CheckpointDir
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
