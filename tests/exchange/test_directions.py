"""Directions without names, matched with the tensors of a model by their order and shapes; projections."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ResultsError, UsageError
from tests.support import original_code


def network() -> nn.Module:
    """A convolution, batch statistics, a dense layer."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 2))


def random_like(tensors, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(t.shape, generator=generator) for t in tensors]


@pytest.fixture
def model():
    return network()


def test_weights_in_the_order_of_parameters_become_a_vector_over_theta(tmp_path, model):
    first, second = (random_like(model.parameters(), seed) for seed in (1, 2))
    one = ls.read_direction(original_code.directions(tmp_path / "a.h5", first), model)
    both = ls.read_direction(original_code.directions(tmp_path / "b.h5", first, second), model)
    flat = torch.cat([t.reshape(-1) for t in first])
    assert torch.equal(one, flat)
    assert torch.equal(both, torch.stack([flat, torch.cat([t.reshape(-1) for t in second])], dim=1))


def test_states_skip_what_theta_has_not_where_the_direction_leaves_it_alone(tmp_path, model):
    """As with its ``ignore biasbn``: vectors and numbers are 0."""
    states = model.state_dict()
    direction = [t if t.dim() > 1 else t * 0 for t in random_like(states.values(), 3)]
    read = ls.read_direction(original_code.directions(tmp_path / "a.h5", direction), model)
    named = dict(zip(states, direction, strict=True))
    assert torch.equal(read, torch.cat([named[n].reshape(-1) for n, _ in model.named_parameters()]))


def test_a_direction_that_moves_running_statistics_is_refused_or_cut_on_demand(tmp_path, model):
    direction = random_like(model.state_dict().values(), 4)
    path = original_code.directions(tmp_path / "a.h5", direction)
    with pytest.raises(
        UsageError, match=r"moves 3 tensors that are not in θ, such as '1\.(running|num).*outside='drop'"
    ):
        ls.read_direction(path, model)
    named = dict(zip(model.state_dict(), direction, strict=True))
    cut = ls.read_direction(path, model, outside="drop")
    assert torch.equal(cut, torch.cat([named[n].reshape(-1) for n, _ in model.named_parameters()]))


def test_an_objective_says_which_parameters_are_in_theta(tmp_path, model):
    direction = random_like(model.parameters(), 5)
    data = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(6, dtype=torch.long)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, params="3.*")
    path = original_code.directions(tmp_path / "a.h5", direction)
    with pytest.raises(UsageError, match="moves 4 tensors that are not in θ"):
        ls.read_direction(path, objective)
    assert torch.equal(
        ls.read_direction(path, objective, outside="drop"), torch.cat([t.reshape(-1) for t in direction[4:]])
    )


def test_the_loss_along_a_direction_read_is_that_of_the_original_set_weights(tmp_path, model):
    """Their ``p.data = w + d·step``, tensor by tensor, on a copy of the model."""
    model.eval()
    direction = random_like(model.parameters(), 6)
    data = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 2
    objective = ls.Objective(model, nn.functional.cross_entropy, data)
    d = ls.read_direction(original_code.directions(tmp_path / "a.h5", direction), objective)
    theirs = network().eval()
    for p, w, t in zip(theirs.parameters(), model.parameters(), direction, strict=True):
        p.data = w.data + 0.3 * t
    expected = nn.functional.cross_entropy(theirs(data[0]), data[1]).item()
    assert objective.loss(objective.theta + 0.3 * d) == pytest.approx(expected, rel=1e-5)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(3, 3, bias=False)
        self.decode = nn.Linear(3, 3)
        self.decode.weight = self.encode.weight


def test_tied_weights_stand_twice_among_states_and_must_agree(tmp_path):
    with torch.random.fork_rng():
        tied = Tied()
    weight, bias = random_like([tied.encode.weight, tied.decode.bias], 7)
    read = ls.read_direction(original_code.directions(tmp_path / "a.h5", [weight, weight, bias]), tied)
    assert torch.equal(read, torch.cat([weight.reshape(-1), bias]))
    with pytest.raises(UsageError, match=r"'decode\.weight' is tied to 'encode\.weight', but moves otherwise"):
        ls.read_direction(original_code.directions(tmp_path / "b.h5", [weight, 2 * weight, bias]), tied)


def test_a_direction_of_another_model_is_refused_with_the_tensor_that_does_not_fit(tmp_path, model):
    wrong = random_like(model.parameters(), 8)
    wrong[4] = torch.ones(2, 13)
    with pytest.raises(UsageError, match=r"tensor 4 has shape \(2, 13\), but the model's '3\.weight'.*\(2, 12\)"):
        ls.read_direction(original_code.directions(tmp_path / "a.h5", wrong), model)
    with pytest.raises(UsageError, match="has 5 tensors; the model has 6 parameters and 9 entries"):
        ls.read_direction(original_code.directions(tmp_path / "b.h5", wrong[:5]), model)
    with pytest.raises(UsageError, match="model is a dict; it must be the nn.Module"):
        ls.read_direction(tmp_path / "b.h5", {})


def test_tensors_must_be_numbered_and_finite(tmp_path, model):
    tensors = random_like(model.parameters(), 9)
    with h5py.File(original_code.directions(tmp_path / "a.h5", tensors), "r+") as f:
        f.move("xdirection/5", "xdirection/7")
    with pytest.raises(ResultsError, match="must list its tensors as '0', '1'"):
        ls.read_direction(tmp_path / "a.h5", model)
    tensors[2][0] = float("nan")
    with pytest.raises(ResultsError, match="2 has values that are not finite"):
        ls.read_direction(original_code.directions(tmp_path / "b.h5", tensors), model)
    with h5py.File(tmp_path / "c.h5", "w") as f:
        f["xdirection"] = np.ones(3)
    with pytest.raises(ResultsError):
        ls.read_direction(tmp_path / "c.h5", model)


@pytest.mark.parametrize("kind", ["weights", "states"])
def test_ours_is_read_as_that_code_reads_it(tmp_path, model, kind):
    columns = [torch.cat([t.reshape(-1) for t in random_like(model.parameters(), seed)]) for seed in (10, 11)]
    plane = torch.stack(columns, dim=1)
    path = ls.write_direction(plane, tmp_path / "a.h5", model, kind=kind, explained_variance_ratio=(0.8, 0.1))
    listed = original_code.listed(path, "ydirection")
    named = dict(model.named_parameters() if kind == "weights" else model.state_dict())
    assert [a.shape for a in listed] == [tuple(t.shape) for t in named.values()]
    inside = dict(model.named_parameters())
    kept = [a.ravel() for name, a in zip(named, listed, strict=True) if name in inside]
    np.testing.assert_array_equal(np.concatenate(kept), plane[:, 1].numpy())
    assert not any(a.any() for name, a in zip(named, listed, strict=True) if name not in inside)
    with h5py.File(path) as f:
        assert f["explained_variance_ratio_"][()].tolist() == [0.8, 0.1]
    assert torch.equal(ls.read_direction(path, model), plane)


def test_a_direction_that_does_not_fit_is_not_written(tmp_path, model):
    size = sum(p.numel() for p in model.parameters())
    for bad, said in (
        (torch.ones(3), "direction has shape \\(3,\\)"),
        ("a", "must be a tensor or an array"),
        (torch.full((size,), torch.nan), "not finite"),
    ):
        with pytest.raises(UsageError, match=said):
            ls.write_direction(bad, tmp_path / "a.h5", model)
    assert list(tmp_path.iterdir()) == []


def test_nothing_of_the_callers_model_changes(tmp_path, model):
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    path = ls.write_direction(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), tmp_path / "a.h5", model)
    read = ls.read_direction(path, model)
    read += 1
    assert model.training
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_projection_is_read_in_lengths_of_the_directions_or_of_parameter_space(tmp_path):
    with h5py.File(tmp_path / "p.h5", "w") as f:
        f["proj_xcoord"], f["proj_ycoord"] = np.array([2.0, 4.0, 0.0]), np.array([3.0, 0.0, 0.0])
    assert ls.read_projection(tmp_path / "p.h5").tolist() == [[2, 3], [4, 0], [0, 0]]
    scaled = ls.read_projection(tmp_path / "p.h5", step_norms=(2.0, 3.0))
    assert scaled.tolist() == [[1, 1], [2, 0], [0, 0]]
    path = ls.write_projection(scaled, tmp_path / "q.h5", step_norms=np.array([2.0, 3.0]))
    with h5py.File(path) as f:
        assert f["proj_xcoord"][:].tolist() == [2, 4, 0]
        assert f["proj_ycoord"][:].tolist() == [3, 0, 0]
    with h5py.File(tmp_path / "p.h5", "r+") as f:
        del f["proj_ycoord"]
        f["proj_ycoord"] = np.ones(2)
    with pytest.raises(ResultsError, match="'proj_ycoord' has 2 values where 3 belong"):
        ls.read_projection(tmp_path / "p.h5")
    for bad in ([1.0], (0.0, 1.0), "ab", (1.0, np.inf)):
        with pytest.raises(UsageError, match="step_norms"):
            ls.read_projection(path, step_norms=bad)
    with pytest.raises(UsageError, match=r"points must be finite numbers of shape \(T, 2\)"):
        ls.write_projection([[1.0, np.nan]], path)
