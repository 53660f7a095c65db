"""What a study asks of its trainings."""

from __future__ import annotations

from landscape.study import Arm, Study
from landscape.study.design import DENSE


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
