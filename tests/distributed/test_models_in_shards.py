"""Models whose parameters are in shards, by FSDP, tensor parallelism or hand: measured as the plain ones, left as they
were."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape import distributed
from tests.support.ranked import on_ranks
from tests.support.sharded_models import MODELS, all_measured, seeded
from tests.support.sharded_wrappings import WRAPPINGS, numbers

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def measured():
    return on_ranks(2, "tests.support.sharded_models:all_measured")


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return on_ranks(2, "tests.support.sharded_facts:everything", str(tmp_path_factory.mktemp("saved")))


def test_numbers_are_those_of_the_plain_model_on_one_process(measured):
    wrong = {}
    for name, expected in all_measured().items():
        for what, value in expected.items():
            apart = np.abs(measured[0][name][what] - value).max() / np.abs(value).max()
            if not apart <= 1e-10:
                wrong[name, what] = apart
    assert not wrong


def test_both_ranks_have_the_same_bits(measured):
    for name, found in measured[0].items():
        for what, value in found.items():
            assert np.array_equal(measured[1][name][what], value), (name, what)


@pytest.fixture(scope="module")
def wrapped():
    return on_ranks(2, "tests.support.sharded_wrappings:numbers")


@pytest.fixture(scope="module")
def plain():
    return numbers()


@pytest.mark.parametrize("name", WRAPPINGS)
def test_whatever_else_is_done_to_a_model_its_numbers_are_the_plain_ones(wrapped, plain, name):
    """FSDP in bfloat16 has parameters in float32, and those are measured."""
    expected = plain[name]
    assert wrapped[0][name] == wrapped[1][name]
    assert wrapped[0][name] == pytest.approx(expected, rel=1e-6 if name == "in lower precision" else 1e-12)


def test_gradients_are_those_of_the_models_own_backward_pass(facts):
    for rank in facts:
        assert set(rank["gradients"]) == set(MODELS)
        assert max(rank["gradients"].values()) < 1e-10


def test_nothing_of_the_model_is_changed(facts):
    for rank in facts:
        assert len(rank["changes"]) == 4 * len(MODELS)
        assert not {state: found for state, found in rank["changes"].items() if found}


def test_a_training_that_is_measured_takes_the_same_steps(facts):
    for rank in facts:
        assert rank["training"][0] == rank["training"][1]


def test_an_objective_whose_model_was_trained_on_says_so(facts):
    for rank in facts:
        fsdp, tensor, later = rank["moved"]
        assert "have moved since they were gathered" in fsdp
        assert fsdp == tensor
        assert "put into shards after this objective was made" in later


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("alone", "LandscapeError: the parameters are in shards on 2 ranks, which must gather them together"),
        ("another model", "LandscapeError: rank 1 has other parameters in shards than rank 0"),
        ("buffers", "LandscapeError: rank 1 has other buffers"),
        ("another function", "ObjectiveError: the plain copy of the model in shards is another function"),
        ("a monitor", "UsageError: the parameters are in shards, and a monitor"),
        ("a monitor of an objective", "UsageError: the parameters are in shards, and a monitor"),
        ("a writer", "UsageError: the parameters are in shards, which all ranks gather"),
        ("a model for its optimizer", "UsageError: parameter '0.weight' is in shards; gather the model first"),
        ("a living optimizer", "UsageError: the optimizer has none of the parameters"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_what_to_do(facts, what, said):
    for rank in facts:
        assert rank["refusals"][what].startswith(said)


def test_code_that_counts_on_its_part_is_named_and_outputs_that_lie_apart_are_warned_of(facts):
    for rank in facts:
        refused, warned = rank["another shape"]
        assert "the heads of attention under tensor parallelism" in refused
        assert "could not be held against the model itself (each rank has outputs of shapes [(12, 1)]" in warned


def test_a_checkpoint_is_written_once_with_all_of_the_model_and_its_optimizer(facts):
    for rank in facts:
        for name, found in rank["saved"].items():
            tied = {"out.weight": "words.weight"} if name == "FSDP of tied weights" else {}
            assert found == {
                "parameters": True, "names": True, "buffers": True, "aliases": tied, "moments": True,
                "files": ["step_00000001.h5"],
            }, name  # fmt: skip
        assert "which must gather them together" in rank["saved alone"]


def test_an_objective_says_that_its_parameters_were_gathered(facts):
    tensor, fsdp = facts[0]["described"]
    assert "gathered from shards on 2 ranks (tensor parallelism)" in tensor
    assert "gathered from shards on 2 ranks (FSDP)" in fsdp


def test_flat_parameters_of_the_older_fsdp_are_refused():
    class FullyShardedDataParallel(nn.Module):
        """By its name, as it is known: the real one wants a group of processes."""

        def __init__(self):
            super().__init__()
            self.inside = nn.Linear(2, 1)

    with torch.random.fork_rng(devices=[]), pytest.raises(ls.UsageError, match="Take fully_shard, which replaces it"):
        ls.Objective(FullyShardedDataParallel(), nn.functional.mse_loss, (torch.eye(2), torch.ones(2, 1)))


def test_a_plain_model_is_what_gathering_gives_back():
    model = seeded(lambda: nn.Linear(2, 1))
    assert distributed.gathered(nn.DataParallel(model)) is model
    assert distributed.origin_of(model) is None
