"""Minima at the ends of runs: the same numbers as of their objectives, with names and starts from their folders."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.checkpoints import CheckpointDir
from landscape.errors import CheckpointError, UsageError


def run_of(folder, problem, seed):
    """Ten steps by hand, saved before the first and after the last."""
    model = problem.make_model(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    x, y = problem.train
    for step in range(11):
        if step in (0, 10):
            config = {"optimizer": "adam", "seed": seed, "lr": 0.01}
            ls.save_checkpoint(folder, model, step=step, problem=problem, config=config)
        optimizer.zero_grad()
        problem.loss_fn(model(x), y).backward()
        optimizer.step()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    problem = ls.get_problem("mlp-digits", {"num_train": 60})
    for seed in (0, 1, 2):
        run_of(root / "adam" / f"s{seed}", problem, seed)
    return root


@pytest.fixture(scope="module")
def found(root):
    return ls.minima_matrix(root, points=5, eigs=2)


def test_runs_are_found_named_and_compared_at_their_last_checkpoints(root, found):
    assert found.names == ("adam/s0", "adam/s1", "adam/s2")
    ends = {name: CheckpointDir(root / name)[-1] for name in found.names}
    objectives = {name: end.objective() for name, end in ends.items()}
    test = ends["adam/s0"].objective(split="test")
    same = ls.minima_matrix(objectives, points=5, test=test, starts=[CheckpointDir(root / n)[0].theta() for n in ends],
                            eigs=2)  # fmt: skip
    for name in same.measured:
        rtol = 1e-4 if name == "overlap" else 1e-9  # eigenvectors in float32, by whatever route was the faster
        np.testing.assert_allclose(found.matrix(name), same.matrix(name), rtol=rtol, atol=1e-12)
    assert found.measured == same.measured
    assert len(found.measured) == 7
    assert found.cosine_of == "θ − θ₀"
    np.testing.assert_allclose(found.test_losses, same.test_losses)


@pytest.mark.parametrize("as_what", ["folders", "dirs", "checkpoints", "mapping"])
def test_runs_are_given_in_any_form(root, found, as_what):
    folders = [root / name for name in found.names]
    given = {
        "folders": folders, "dirs": [CheckpointDir(f) for f in folders],
        "checkpoints": [CheckpointDir(f)[-1] for f in folders],
        "mapping": {"x": folders[0], "y": CheckpointDir(folders[1]), "z": CheckpointDir(folders[2])[-1]},
    }[as_what]  # fmt: skip
    other = ls.minima_matrix(given, what=("distance", "cosine"))
    np.testing.assert_array_equal(other.distance, found.distance)
    names = {"folders": ("s0", "s1", "s2"), "dirs": ("s0", "s1", "s2"), "mapping": ("x", "y", "z"),
             "checkpoints": ("s0 step 10", "s1 step 10", "s2 step 10")}  # fmt: skip
    assert other.names == names[as_what]
    # A checkpoint alone knows no start, so with one of them cosines are of θ.
    assert other.cosine_of == ("θ − θ₀" if as_what in ("folders", "dirs") else "θ")


def test_a_run_of_another_architecture_is_refused_by_name(root, tmp_path):
    run_of(tmp_path / "wide", ls.get_problem("mlp-digits", {"num_train": 60, "hidden": (20, 20)}), 0)
    with pytest.raises(UsageError, match="wide: of another architecture than adam"):
        ls.minima_matrix({"adam": root / "adam" / "s0", "wide": tmp_path / "wide"})


def test_a_folder_without_runs_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no checkpoint found"):
        ls.minima_matrix(tmp_path)


def test_the_same_run_twice_needs_names(root):
    with pytest.raises(UsageError, match="give them names by a mapping"):
        ls.minima_matrix([root / "adam" / "s0"] * 2)


def test_of_a_network_and_its_twin_with_neurons_exchanged_no_barrier_is_left_once_they_are_aligned():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
        x = torch.randn(20, 3)
    for parameter in model.parameters():
        parameter.data *= 4
    data, twin = (x, model(x).argmax(1)), copy.deepcopy(model)
    order = torch.tensor([3, 0, 7, 1, 6, 2, 5, 4])
    twin[0].weight.data, twin[0].bias.data = model[0].weight.data[order], model[0].bias.data[order]
    twin[2].weight.data, twin[2].bias.data = model[2].weight.data[:, order], model[2].bias.data.clone()
    both = [ls.Objective(net, torch.nn.functional.cross_entropy, data) for net in (model, twin)]
    apart = ls.minima_matrix(both, what=("barrier", "distance"), points=9)
    together = ls.minima_matrix(both, what=("barrier", "distance"), points=9, aligned=True)
    assert apart.distance[0, 1] > 1
    assert together.distance[0, 1] == 0
    assert apart.barrier[0, 1] > 0.01
    assert together.barrier[0, 1] == pytest.approx(0, abs=1e-6)
