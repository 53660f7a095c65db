"""A problem is found by its name and config, also a user's own; what is wrong with either is said in one line."""

from __future__ import annotations

import sys

import pytest
import torch
from torch.nn import functional

import landscape.problems.builtin.mnist as mnist_module
from landscape.errors import UsageError
from landscape.problems import Problem, get_problem, load_problem, resolve_config


def test_unknown_names_and_settings_are_refused_with_what_there_is():
    with pytest.raises(UsageError, match=r"'lenet'; known are lenet-digits, .*two-well.*--problem pkg\.mod:factory"):
        get_problem("lenet")
    with pytest.raises(UsageError, match=r"no setting 'activations', 'depth'; it has activation, pooling"):
        get_problem("lenet-digits", {"activations": "tanh", "depth": 3})
    with pytest.raises(UsageError, match="must be JSON"):
        get_problem("quadratic", {"eigenvalues": torch.ones(2)})
    for config in ({"activation": "gelu"}, {"pooling": "min"}, {"test_fraction": 0}, {"test_fraction": 1e-4}):
        with pytest.raises(UsageError, match=str(next(iter(config.values())))):
            get_problem("lenet-digits", config)
    with pytest.raises(UsageError, match="num_train=2000 is more than the 1257"):
        get_problem("mlp-digits", {"num_train": 2000})
    with pytest.raises(UsageError, match="l2=-1"):
        get_problem("logistic-digits", {"l2": -1})
    with pytest.raises(UsageError, match="split='valid'"):
        get_problem("quadratic").data("valid")
    with pytest.raises(UsageError, match="seed=None"):
        get_problem("quadratic").make_model(None)


def test_defaults_are_written_out_without_loading_data(monkeypatch):
    monkeypatch.setattr(mnist_module, "mnist_split", lambda *a, **k: pytest.fail("data were loaded"))
    assert resolve_config("mlp-mnist", {"hidden": [5]})["loss"] == "cross_entropy"
    assert "data_dir" not in resolve_config("mlp-mnist")  # a path of one machine does not determine a problem


OWN = """
import torch
from landscape.problems import Problem
def factory(*, width=2, data_dir=None):
    x = torch.ones(4, width)
    return Problem(build=lambda: torch.nn.Linear(width, 1), loss_fn=torch.nn.functional.mse_loss, loss_name="mse",
                   train=(x, torch.zeros(4, 1)), test=(x, torch.zeros(4, 1)), config={"seen": str(data_dir)})
def wrong(): return 3
def fails(): raise RuntimeError("no such sensor")
def needs(path): return path
number = 5
"""


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine_for_test.py").write_text(OWN)
    (tmp_path / "broken_for_test.py").write_text("def factory(:")
    yield "mine_for_test"
    sys.modules.pop("mine_for_test", None)


def test_a_problem_of_the_user_s_own_is_found_in_the_current_folder(own_module):
    path_before = list(sys.path)
    problem = load_problem(f"{own_module}:factory", {"width": 3}, data_dir="here")
    assert isinstance(problem, Problem)
    assert (problem.name, problem.config) == (f"{own_module}:factory", {"width": 3})
    assert problem.train[0].shape == (4, 3)
    assert sys.path == path_before
    assert load_problem("quadratic").name == "quadratic"


@pytest.mark.parametrize(
    ("spec", "config", "said"),
    [
        ("absent_for_test:factory", {}, "importing 'absent_for_test' failed .*No module named"),
        ("broken_for_test:factory", {}, "importing 'broken_for_test' failed .SyntaxError"),
        ("mine_for_test:absent", {}, "has no function 'absent'"),
        ("mine_for_test:number", {}, "'number' is a int, neither a function nor"),
        ("mine_for_test:wrong", {}, "returned a int, not a landscape.problems.Problem"),
        ("mine_for_test:fails", {}, "RuntimeError: no such sensor"),
        ("mine_for_test:needs", {}, "needs 'path' in its config"),
        ("mine_for_test:factory", {"wide": 1}, "no setting 'wide'; it has width"),
    ],
)
def test_what_is_wrong_with_a_user_s_problem_is_said_in_one_line(own_module, spec, config, said):
    with pytest.raises(UsageError, match=said):
        load_problem(spec, config)


def test_a_problem_with_unequal_or_no_data_is_refused():
    for inputs, targets in ((torch.ones(3, 1), torch.ones(2, 1)), (torch.ones(0, 1), torch.ones(0, 1))):
        with pytest.raises(UsageError, match="the train data have"):
            Problem(
                build=lambda: torch.nn.Linear(1, 1),
                loss_fn=functional.mse_loss,
                loss_name="mse",
                train=(inputs, targets),
                test=(torch.ones(1, 1), torch.ones(1, 1)),
            )
