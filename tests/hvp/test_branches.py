"""A model that decides by the values of its data is recorded once for each way it goes; by those of θ, not at all."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.hvp.linearized import MOST_COURSES
from tests.support.products import seeded_vector

FULL, HOLES = [1, 1, 1, 1], [1, 1, 0, 1]


class Masked(nn.Module):
    """Takes means over what a mask leaves, by another formula where it leaves all."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 2)
        self.register_buffer("threshold", torch.tensor(0.5))

    def pooled(self, hidden, mask):
        if mask.all():
            return hidden.mean(1) ** 2  # another function on purpose: the wrong course shows
        return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)

    def forward(self, x, mask):
        return self.last(self.pooled(torch.tanh(self.first(x)), mask).sin())


class ByLength(Masked):
    def pooled(self, hidden, mask):
        return hidden.sum(1) / mask.sum().item()


class ByTheta(Masked):
    def pooled(self, hidden, mask):
        return hidden.mean(1) ** 2 if hidden.sum() > 0 else hidden.mean(1)


class ByBuffer(Masked):
    def pooled(self, hidden, mask):
        return hidden.mean(1) ** 2 if self.threshold > 0 else hidden.mean(1) ** 3


class ByComparison(Masked):
    def pooled(self, hidden, mask):
        return hidden.mean(1) ** 2 if torch.equal(mask, torch.ones_like(mask)) else hidden.mean(1)


class ByFlag(Masked):
    """What was asked for is overwritten afterwards."""

    def pooled(self, hidden, mask):
        flag = mask.all().clone()
        out = hidden.mean(1) ** 2 if flag else hidden.mean(1)
        flag.logical_not_()
        return out * 2 if flag else out


def objective(kind, rows):
    """Chunks of two examples; every example of chunk i has the mask rows[i]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = kind().double()
        x, y = torch.randn(2 * len(rows), 4, 3, dtype=torch.float64), torch.randint(2, (2 * len(rows),))
    mask = torch.tensor(rows, dtype=torch.float64).repeat_interleave(2, 0)
    data = [((x[i : i + 2], mask[i : i + 2]), y[i : i + 2]) for i in range(0, len(x), 2)]
    return ls.Objective(model, nn.functional.cross_entropy, data, chunk=None, check=False, interacting=True)


def counted(H):
    return H._product.kernels.count


def assert_exact(H):
    v = seeded_vector(H.dim, 1)
    exact = ls.HessianOperator(H.objective, H.theta, route="fresh") @ v
    assert (H @ v - exact).norm() <= 1e-12 * exact.norm()


@pytest.mark.parametrize("route", ["linearized", "forward", "linearized/blocks-4"])
@pytest.mark.parametrize(("kind", "ways"), [(Masked, 2), (ByComparison, 2), (ByFlag, 2), (ByBuffer, 1)])
def test_one_recording_for_each_way_through_the_data(route, kind, ways):
    """Four chunks of one shape; two of them are full."""
    question = objective(kind, [FULL, HOLES, FULL, HOLES])
    H = ls.HessianOperator(question, route=route)
    assert counted(H) == ways
    assert_exact(H)
    V = torch.stack([seeded_vector(H.dim, seed) for seed in range(4)], dim=1)
    singly = torch.stack([ls.HessianOperator(question, route="fresh") @ V[:, i] for i in range(4)], dim=1)
    assert (H @ V - singly).norm() <= 1e-12 * singly.norm()


@pytest.mark.parametrize("kind", [Masked, ByTheta, ByLength])
def test_the_jacobian_of_outputs_is_recorded_where_it_stands_whatever_decides(kind):
    """It is of one chunk at one point."""
    question = objective(kind, [FULL, HOLES])
    G = ls.GaussNewtonOperator(question, route="linearized")
    assert G.route == "linearized"
    v = seeded_vector(G.dim, 3)
    exact = ls.GaussNewtonOperator(question, route="fresh") @ v
    assert (G @ v - exact).norm() <= 1e-12 * exact.norm()


def test_another_point_uses_the_recordings_again():
    H = ls.HessianOperator(objective(Masked, [FULL, HOLES, HOLES]), route="linearized")
    there = H.at(H.theta + 0.1 * seeded_vector(H.dim, 2))
    assert counted(there) == 2
    assert there._product.kernels is H._product.kernels
    assert_exact(there)


def test_a_buffer_that_has_moved_takes_the_model_another_way():
    """What is held fixed is asked again, as the data are."""
    question = objective(ByBuffer, [FULL, FULL])
    H = ls.HessianOperator(question, route="linearized")
    question.module.model.threshold.fill_(-1.0)
    there = H.at(H.theta)
    assert counted(there) == 2
    assert_exact(there)
    assert (there.dense() - H.dense()).norm() > 1e-2 * H.dense().norm()


def test_numbers_that_the_data_give_are_checked_too():
    lengths = [[1] * k + [0] * (4 - k) for k in (4, 3, 2, 3)]
    H = ls.HessianOperator(objective(ByLength, lengths), route="linearized")
    assert counted(H) == 3
    assert_exact(H)


def test_too_many_ways_are_refused():
    rows = [[1, 1, 1, k] for k in range(MOST_COURSES + 1)]
    with pytest.raises(ls.ObjectiveError, match=f"more than {MOST_COURSES} ways"):
        ls.HessianOperator(objective(ByLength, rows), route="linearized")
    assert ls.HessianOperator(objective(ByLength, rows)).route in ("fresh", "retained")


def test_a_way_that_theta_decides_is_refused():
    question = objective(ByTheta, [FULL, FULL])
    with pytest.raises(ls.ObjectiveError, match="depend on its parameters"):
        ls.HessianOperator(question, route="linearized")
    assert ls.HessianOperator(question).route in ("fresh", "retained")
