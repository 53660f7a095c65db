"""Running statistics recomputed from the data, on lines and planes; the truth is torch's own modules, set by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import recomputed
from tests.support.running_statistics import (
    IMAGES,
    N,
    Residual,
    X,
    Y,
    built,
    drawn,
    loss_of,
    mlp,
    pair,
    put,
    question,
    trained,
    with_statistics_of,
)


def scale_invariant(x):
    """(w·x − mean) / sd by running statistics, and the mean of its square as the loss."""
    model = built(lambda: nn.Sequential(nn.Linear(1, 1, bias=False), nn.BatchNorm1d(1, eps=1e-300, affine=False)))
    return ls.Objective(model.double(), lambda out, _: out.square().mean(), (x, torch.zeros(len(x))), check=False)


@pytest.mark.parametrize("count", [2, 5, 33])
def test_by_recomputed_statistics_the_mean_square_is_the_ratio_of_the_two_variances_whatever_the_weight(count):
    """The output's mean square is the biased variance over the unbiased one, (n − 1)/n, at w = 2, 2.5, … 4."""
    objective = scale_invariant(100 + drawn(count, 1))
    line = ls.evaluate_line(objective, np.ones(1), theta=np.array([3.0]), points=5, batch_statistics="recompute")
    assert line.loss == pytest.approx((count - 1) / count, rel=1e-9)


class Instances(nn.Sequential):
    """Of images one by one, and then of all of them."""

    def __init__(self):
        super().__init__(
            *(nn.Conv2d(2, 4, 3), nn.InstanceNorm2d(4, affine=True, track_running_stats=True), nn.ReLU()),
            *(nn.Conv2d(4, 3, 3), nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        )


VARIETY = {
    "mlp": (mlp, X),
    "one layer for two": (Residual, IMAGES),
    "of instances": (Instances, IMAGES),
    "in three dimensions": (
        lambda: nn.Sequential(nn.Unflatten(1, (3, 2)), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(6, 3)),
        X,
    ),
}


@pytest.mark.parametrize("chunk", [60, 25, 7])
@pytest.mark.parametrize("name", VARIETY)
def test_recomputed_statistics_are_those_torch_gathers_over_all_data_at_once_whatever_the_chunks(name, chunk):
    make, x = VARIETY[name]
    model = trained(make, x)
    objective = question(model, x, chunk=chunk)
    theta = objective.theta + 0.1 * drawn(objective.layout.size, seed=4)
    twin = with_statistics_of(put(model, theta), x)
    found = recomputed(objective, theta)
    buffers = dict(twin.named_buffers())
    assert set(found) == {n for n in buffers if n.endswith(("mean", "var"))}
    for buffer, value in found.items():
        torch.testing.assert_close(value, buffers[buffer], rtol=1e-11, atol=1e-12)
    line = ls.evaluate_line(objective, theta - objective.theta, points=3, batch_statistics="recompute")
    assert line.loss[-1] == pytest.approx(loss_of(twin, x), rel=1e-11)


def test_uneven_batches_that_do_not_join_have_the_statistics_of_all_their_examples():
    """Sequences of other lengths: the mean is over all places, not over batches."""
    sizes = ((5, 4), (9, 7), (2, 3))
    batches = [(drawn(n, 2, length, seed=length), torch.arange(n) % 3) for n, length in sizes]
    model = built(lambda: nn.Sequential(nn.BatchNorm1d(2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(2, 3)))
    objective = ls.Objective(model.double().eval(), F.cross_entropy, batches)
    values = torch.cat([x.transpose(0, 1).reshape(2, -1) for x, _ in batches], dim=1)
    found = recomputed(objective, objective.theta)
    torch.testing.assert_close(found["0.running_mean"], values.mean(1))
    torch.testing.assert_close(found["0.running_var"], values.var(1))


def test_in_float32_recomputed_losses_do_not_hang_on_chunks_or_the_order_of_examples():
    """Means a thousand times the spread: sums of squares in float32 would lose three digits of the variance."""
    model = trained(mlp, dtype=torch.float32)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    x = 1e3 + X
    exact = loss_of(with_statistics_of(copy.deepcopy(model).double(), x.float().double()), x.float().double())
    for chunk, rows in ((60, slice(None)), (11, slice(None)), (11, order)):
        objective = ls.Objective(model, F.cross_entropy, (x[rows].float(), Y[rows]), chunk=chunk)
        line = ls.evaluate_line(objective, torch.ones(objective.layout.size), points=3, batch_statistics="recompute")
        assert line.loss[1] == pytest.approx(exact, rel=2e-3)  # x itself has 6e-5 of its spread
    first = built(lambda: nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 3))).eval()
    objective = ls.Objective(first, F.cross_entropy, (x.float(), Y), chunk=11)
    found = recomputed(objective, objective.theta)
    torch.testing.assert_close(found["0.running_var"], x.float().double().var(0), rtol=1e-12, atol=0)


def test_a_loss_that_calls_the_model_twice_has_the_mean_over_both_calls():
    model = trained(mlp)

    def twice(model, batch):
        return (model(batch[0]) - model(-2 * batch[0])).square().mean()

    objective = ls.Objective.from_loss(model, twice, (X, Y), chunk=13)
    first = model[0](X), model[0](-2 * X)
    found = recomputed(objective, objective.theta)
    torch.testing.assert_close(found["1.running_var"], torch.stack([h.var(0) for h in first]).mean(0).detach())


def test_synchronised_layers_gather_like_the_others():
    model = trained(mlp)
    twin = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))
    a, b = (recomputed(question(m, chunk=25), question(m).theta) for m in (model, twin))
    assert all(torch.equal(a[name], b[name]) for name in a)


class Unlike(nn.Module):
    """Goes through its normalisation only where the first input is positive."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.norm(x) if x[0, 0] > 0 else x)


class ReadOnly(Unlike):
    """Reads the statistics of a layer that it never calls."""

    def forward(self, x):
        return self.head(x - self.norm.running_mean)


class Idle(Unlike):
    def forward(self, x):
        return self.head(x)


def test_statistics_that_the_data_as_a_whole_do_not_have_are_refused():
    for make, said in ((Unlike, "not all chunks"), (ReadOnly, "reads the running statistics of 'norm'")):
        objective = question(built(make).double().eval(), chunk=10, check=False)
        with pytest.raises(UsageError, match=said):
            recomputed(objective, objective.theta)
    assert len(set((X[::10, 0] > 0).tolist())) == 2
    idle = question(built(Idle).double().eval(), check=False)
    assert recomputed(idle, idle.theta) == {}
    one = ls.Objective(trained(mlp), F.cross_entropy, (X[:1], Y[:1]), check=False)
    with pytest.raises(UsageError, match="1 value a channel"):
        recomputed(one, one.theta)


# --- lines, planes and paths of one model -----------------------------------------------------------------------------


def test_a_plane_says_which_statistics_it_has_and_claims_no_curvature_where_they_move():
    model = trained(mlp)
    objective = question(model)
    plane = ls.random_plane(objective)
    fixed = ls.evaluate_plane(objective, plane, points=3)
    moving = ls.evaluate_plane(objective, plane, points=3, batch_statistics="recompute")
    for i, x in enumerate(fixed.x):
        for j, y in enumerate(fixed.y):
            there = put(model, objective.theta + plane @ torch.tensor([x, y]))
            assert fixed.loss[j, i] == pytest.approx(loss_of(there), rel=1e-12)
            assert moving.loss[j, i] == pytest.approx(loss_of(with_statistics_of(there, X)), rel=1e-12)
    assert (fixed.batch_statistics, moving.batch_statistics) == ("fixed", "recompute")
    assert fixed.curvature_agrees
    assert np.isnan(moving.curvature).all()
    line = ls.evaluate_line(objective, plane[:, 0], points=3, batch_statistics="recompute")
    for said in (str(moving), str(line)):
        assert "nan" not in said.lower()
        assert "DISAGREES" not in said
    with pytest.raises(ls.ObjectiveError, match="nothing in the model is called 'nrom'"):
        objective.with_constants({"nrom": torch.ones(1)}).loss()
    with pytest.raises(UsageError, match="two models at the ends"):
        ls.evaluate_line(objective, plane[:, 0], batch_statistics="interpolate")


def test_on_the_plane_of_several_trainings_the_loss_depends_on_theta_alone():
    """Whose model the objective has, and what its statistics are, makes no difference, unless it is to."""
    a, b, at_a, at_b = pair()
    start = question(built(mlp).double().eval())
    paths = {"a": [start.theta, at_a.theta], "b": [start.theta, at_b.theta]}
    seen = [ls.evaluate_paths(o, paths, points=4) for o in (start, at_a, at_b)]
    assert all(found.loss == pytest.approx(seen[0].loss, rel=1e-10) for found in seen)
    assert seen[0].batch_statistics == "recompute"
    fixed = [ls.evaluate_paths(o, paths, points=4, batch_statistics="fixed") for o in (start, at_b)]
    assert abs(fixed[0].loss - fixed[1].loss).max() > 1e-2
    assert "held as the model has them" in str(fixed[0])
