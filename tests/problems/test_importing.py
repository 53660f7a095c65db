"""A user's problem is found wherever it may lie, and is the same in every process."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from landscape.checkpoints import load_checkpoint, save_checkpoint
from landscape.errors import UsageError
from landscape.problems import load_problem

OWN = """
import random
import numpy as np
import torch
import landscape as ls

def factory(*, width=2, checkpoint_config=None):
    from beside_for_test import loss  # imported only now
    if checkpoint_config:
        width = checkpoint_config["width"]
    x = torch.randn(6, width)
    y = torch.tensor(np.random.rand(6, 1), dtype=torch.float32) + random.random()

    def build():
        from later_for_test import scale  # and only when a model is built
        model = torch.nn.Linear(width, 1)
        model.weight.data.mul_(scale)
        return model

    return ls.Problem(build=build, loss_fn=loss, train=(x, y))

ready = ls.Problem(build=lambda: torch.nn.Linear(2, 1), loss_fn=torch.nn.functional.mse_loss,
                   train=(torch.ones(3, 2), torch.ones(3, 1)))
"""


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder of one run, and the problem beside it; the test stands elsewhere."""
    above = tmp_path / "project"
    above.mkdir()
    (above / "mine_beside_test.py").write_text(OWN)
    (above / "beside_for_test.py").write_text("from torch.nn.functional import mse_loss as loss\n")
    (above / "later_for_test.py").write_text("scale = 1.0\n")
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(3, 1)
    save_checkpoint(above / "runs" / "a", model, step=1, config={"width": 3})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield above
    for name in [n for n in sys.modules if n.endswith(("_beside_test", "_for_test"))]:
        del sys.modules[name]


def test_it_is_found_beside_the_checkpoints_and_what_it_imports_later_too(runs):
    path_before = list(sys.path)
    checkpoint = load_checkpoint(runs / "runs" / "a" / "step_00000001.h5")
    objective = checkpoint.objective("mine_beside_test:factory")
    assert objective.layout.size == 4  # the width stands in the config of the training alone
    assert sys.path == path_before


def test_it_is_found_by_its_file(runs):
    problem = load_problem(f"{runs / 'mine_beside_test.py'}:factory", {"width": 5})
    assert problem.make_model(0).weight.shape == (1, 5)


def test_it_may_stand_ready_in_its_module(runs):
    assert load_problem(f"{runs / 'mine_beside_test.py'}:ready").num_examples == 3
    with pytest.raises(UsageError, match="no setting 'width'"):
        load_problem(f"{runs / 'mine_beside_test.py'}:ready", {"width": 5})


def test_it_is_found_on_the_path_of_python(runs, monkeypatch):
    monkeypatch.syspath_prepend(str(runs))
    assert load_problem("mine_beside_test:factory").num_examples == 6


def test_what_it_draws_is_the_same_each_time_and_moves_no_generator(runs):
    spec = f"{runs / 'mine_beside_test.py'}:factory"
    first = load_problem(spec)
    numbers, torch_state = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    again = load_problem(spec)
    assert torch.equal(first.train[0], again.train[0])
    assert torch.equal(first.train[1], again.train[1])
    assert np.array_equal(numbers, np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(torch_state, torch.get_rng_state())


def test_a_module_of_that_name_in_another_folder_is_another_module(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    assert load_problem("mine_beside_test:ready").num_examples == 3
    other = tmp_path / "other"
    other.mkdir()
    (other / "mine_beside_test.py").write_text(OWN.replace("torch.ones(3", "torch.ones(4"))
    monkeypatch.chdir(other)
    assert load_problem("mine_beside_test:ready").num_examples == 4


def test_a_wrong_name_is_answered_with_those_that_are_there(runs):
    with pytest.raises(UsageError, match="no function 'factor'; it has factory"):
        load_problem(f"{runs / 'mine_beside_test.py'}:factor")


def test_two_runs_share_a_problem_unless_it_asks_for_their_configs(runs):
    with torch.random.fork_rng(devices=[]):
        save_checkpoint(runs / "runs" / "b", torch.nn.Linear(4, 1), step=1, config={"width": 4})
    a, b = (load_checkpoint(runs / "runs" / name / "step_00000001.h5") for name in "ab")
    assert a.problem_key("mine_beside_test:factory", None) != b.problem_key("mine_beside_test:factory", None)
    assert a.problem_key("mine_beside_test:ready", None) == b.problem_key("mine_beside_test:ready", None)
