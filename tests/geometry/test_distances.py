"""How far a point is from both ends of a training: by hand, by tensors, of all forms in which an end may be given."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import UsageError


class Scaled(nn.Module):
    """Two tensors and one that is held fixed."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.full((2, 2), value, dtype=torch.float64))
        self.b = nn.Parameter(torch.full((3,), -value, dtype=torch.float64))
        self.fixed = nn.Parameter(torch.full((1,), 100 * value, dtype=torch.float64), requires_grad=False)

    def forward(self, x):
        return x @ self.a.sum(1, keepdim=True) * self.fixed + self.b.sum()


def objective(value: float, **options) -> ls.Objective:
    data = torch.ones(4, 2).double(), torch.zeros(4, 1).double()
    return ls.Objective(Scaled(value), nn.functional.mse_loss, data, **options)


def test_each_tensor_has_its_own_and_what_is_fixed_is_no_part():
    """All four elements of a move by 2, all three of b by −2; from there to the end, by 1."""
    found = ls.distances(objective(3.0), start=Scaled(1.0), end=Scaled(4.0))
    assert found.names == ("a", "b")
    np.testing.assert_allclose(found.from_start, [4.0, 12**0.5])
    np.testing.assert_allclose(found.from_end, [2.0, 3**0.5])
    np.testing.assert_allclose(found.relative, [2.0, 2.0])
    assert found.distance_from_start == pytest.approx(28**0.5)
    assert found.distance_from_end == pytest.approx(7**0.5)
    assert "a: 57 % of the squared distance" in str(found)


def test_ends_may_be_vectors_objectives_models_and_checkpoints(tmp_path):
    here, first, last = objective(3.0), objective(1.0), objective(4.0)
    for step, model in ((10, Scaled(1.0)), (70, Scaled(4.0))):
        ls.save_checkpoint(tmp_path, model, step=step)
    start, end = ls.CheckpointDir(tmp_path)
    given = [(first.theta, last.theta.numpy()), (first, last), (Scaled(1.0), Scaled(4.0)), (start, end)]
    found = [ls.distances(here, start=a, end=b) for a, b in given]
    assert {one.distance_from_start for one in found} == {found[0].distance_from_start}
    assert {one.distance_from_end for one in found} == {found[0].distance_from_end}
    assert [(one.start_step, one.end_step) for one in found] == [(-1, -1)] * 3 + [(10, 70)]


def test_of_some_parameters_the_distance_is_theirs():
    found = ls.distances(objective(3.0, params="b"), start=Scaled(1.0), end=Scaled(3.0))
    assert (found.names, found.distance_from_end) == (("b",), 0.0)
    assert found.distance_from_start == pytest.approx(12**0.5)


def test_small_differences_of_large_numbers_do_not_drown_in_float32():
    """A sum of 10⁶ squares of 10⁻³ in float32 would stop growing at some per cent of it."""
    with torch.random.fork_rng():
        model = nn.Linear(1000, 1000)
    big = ls.Objective(model, nn.functional.mse_loss, (torch.ones(1, 1000), torch.ones(1, 1000)))
    start = torch.ones(big.layout.size)
    moved = start + 2.0**-10
    found = ls.distances(big, start=start, end=moved, theta=moved)
    assert found.distance_from_start == pytest.approx(2.0**-10 * big.layout.size**0.5, rel=1e-12)


def test_an_end_of_another_model_is_refused():
    with pytest.raises(UsageError, match="start is of another model: its 'a' is missing"):
        ls.distances(objective(3.0), start=nn.PReLU(), end=Scaled(1.0))
    with pytest.raises(UsageError, match=r"end of shape \(3,\) does not fit: θ has shape \(7,\)"):
        ls.distances(objective(3.0), start=Scaled(1.0), end=torch.ones(3))


def test_the_model_stays_as_it_is():
    asked = objective(3.0)
    before = asked.theta.clone()
    ls.distances(asked, start=Scaled(1.0), end=Scaled(4.0), theta=torch.zeros(7))
    assert torch.equal(asked.theta, before)
    assert torch.equal(asked.parts().model.a.detach(), torch.full((2, 2), 3.0).double())
