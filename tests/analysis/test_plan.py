"""The options of a plan reach the objective if they were asked for, and are refused if they contradict each other."""

from __future__ import annotations

import pytest

import landscape as ls
from landscape.analysis import measuring


def test_only_options_that_were_asked_for_reach_the_objective():
    assert ls.Plan().objective_options() == {}
    plan = ls.Plan(params="fc*", chunk=8, device="cpu")
    assert plan.objective_options() == {"params": "fc*", "chunk": 8, "device": "cpu"}
    assert ls.Plan(interacting=True).objective_options() == {"interacting": True}
    assert ls.Plan(mode="train").objective_options() == {"mode": "train"}


def test_interacting_examples_are_part_of_the_question_and_leave_out_parts_of_the_data():
    plan = ls.Plan("thorough", interacting=True)
    assert plan.subsets == 0
    assert ls.Plan(**plan.fields()) == plan
    seen = {}

    class Checkpoint:
        def objective(self, problem, **options):
            seen.update(options)
            return "objective"

    assert measuring.objective_of(Checkpoint(), plan, check=True) == "objective"
    assert seen["interacting"] is True
    assert seen["check"] is True


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"chunk": 0}, "chunk=0 must be a whole number of at least 1"),
        ({"chunk": True}, "chunk=True must be"),
        ({"route": "quickest"}, "route='quickest' is not one of 'auto', 'fresh'"),
        ({"route": "fresh/blocks-8"}, "route='fresh/blocks-8': nothing follows 'fresh'"),
        ({"route": "compiled/blocks-7"}, "what follows 'compiled' in route='blocks-7' is not one of 'channels-last'"),
        ({"chunk": 8, "interacting": True}, "would cut the batches that interacting=True asks to keep whole"),
        ({"chunk": 8, "mode": "train"}, "would cut the batches that mode='train'"),
        ({"examples": 5, "interacting": True}, "examples=5 would measure parts of batches"),
        ({"subsets": 2, "interacting": True}, "subsets=2 would measure parts of batches"),
        ({"params": " "}, "must be globs"),
        ({"params": ["fc"]}, "must be globs"),
        ({"check": "no"}, "check='no' must be True or False"),
        ({"mode": "test"}, "mode='test' is not one of"),
    ],
)
def test_options_that_contradict_each_other_are_refused(fields, said):
    with pytest.raises(ls.UsageError, match=said.replace("(", r"\(")):
        ls.Plan(**fields)
