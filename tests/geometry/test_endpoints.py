"""Between two models each has its own buffers at its end; pairs whose ends would not be its models are refused."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import moved_by_training
from tests.support.running_statistics import (
    IMAGES,
    Residual,
    X,
    Y,
    drawn,
    held,
    loss_of,
    mlp,
    pair,
    put,
    question,
    trained,
    with_statistics_of,
)


@pytest.mark.parametrize(("make", "x"), [(mlp, X), (Residual, IMAGES)])
def test_a_line_between_two_models_has_each_with_its_own_buffers_and_a_mixture_in_between(make, x):
    a, b, at_a, at_b = pair(make, x)
    line = ls.interpolate(at_a, at_b, points=5)
    assert line.batch_statistics == "interpolate"
    for t, loss in zip(line.t, line.loss, strict=True):
        mixed = copy.deepcopy(a)
        mixed.load_state_dict(
            {n: (1 - t) * v + t * b.state_dict()[n] if v.is_floating_point() else v for n, v in a.state_dict().items()}
        )
        assert loss == pytest.approx(loss_of(mixed, x), rel=1e-12)
    assert (line.loss[0], line.loss[-1]) == (at_a.loss(), at_b.loss())
    assert abs(ls.interpolate(at_a, at_b, points=3, batch_statistics="fixed").loss[-1] - at_b.loss()) > 1e-3


@pytest.mark.parametrize("statistics", ["interpolate", "recompute"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_line_read_from_its_other_end_is_the_same(statistics, dtype):
    ends = [question(trained(mlp, seed=seed, lr=lr, dtype=dtype)) for seed, lr in ((0, 0.1), (1, 0.5))]
    there = ls.interpolate(*ends, points=8, batch_statistics=statistics)
    back = ls.interpolate(*reversed(ends), points=8, batch_statistics=statistics)
    assert there.loss.tolist() == back.loss[::-1].tolist()
    assert there.barrier == pytest.approx(back.barrier, rel=1e-6)


def test_an_end_known_by_its_parameters_alone_is_refused_in_either_order_and_the_own_ones_are_known():
    a, b, at_a, at_b = pair()
    for objective, ends in (
        (at_a, (at_a.theta, at_b.theta)),
        (at_b, (at_b.theta, at_a.theta)),
        (at_a, (at_b.theta, at_a.theta)),
        (at_a, (at_b, at_b.theta)),
    ):
        for statistics in (None, "interpolate"):
            with pytest.raises(UsageError, match=r"1\.running_mean.*interpolate\(objective_a, objective_b\)"):
                ls.interpolate(objective, *ends, points=3, batch_statistics=statistics)
    expected = ls.interpolate(at_a, at_b, points=4)
    for ends in ((at_a.theta, at_b), (at_a, at_b), (at_a.theta.numpy(), at_b)):
        assert ls.interpolate(at_a, *ends, points=4).loss.tolist() == expected.loss.tolist()
    fixed = ls.interpolate(at_a, at_a.theta, at_b.theta, points=3, batch_statistics="fixed")
    assert fixed.loss[-1] == pytest.approx(loss_of(put(a, at_b.theta)), rel=1e-12)
    assert fixed.batch_statistics == "fixed"


@pytest.mark.parametrize("ends", ["models", "vectors"])
def test_recomputed_statistics_leave_a_line_of_theta_alone(ends):
    a, b, at_a, at_b = pair(Residual, IMAGES)
    given = (at_a, at_b) if ends == "models" else (at_a.theta, at_b.theta)
    line = ls.interpolate(at_a, *given, points=5, batch_statistics="recompute")
    for t, loss in zip(line.t, line.loss, strict=True):
        moved = put(a, (1 - t) * at_a.theta + t * at_b.theta)
        assert loss == pytest.approx(loss_of(with_statistics_of(moved, IMAGES), IMAGES), rel=1e-12)
    assert line.batch_statistics == "recompute"
    assert "recomputed from the data at each point" in str(line)


def test_where_nothing_but_theta_differs_two_vectors_are_enough():
    a, b, at_a, at_b = pair(lambda: mlp(nn.LayerNorm(8)))
    line = ls.interpolate(at_a, at_a.theta, at_b.theta, points=4)
    assert line.loss.tolist() == ls.interpolate(at_a, at_b, points=4).loss.tolist()
    assert line.loss[-1] == at_b.loss()
    assert line.batch_statistics == ""


def test_in_training_mode_the_question_itself_takes_statistics_from_the_data():
    a, b, _, at_b = pair()
    train = question(a, mode="train")
    line = ls.interpolate(train, train.theta, at_b.theta, points=3)
    assert line.batch_statistics == "train"
    other = put(a, at_b.theta).train()
    assert line.loss[-1] == pytest.approx(float(F.cross_entropy(other(X), Y).detach()), rel=1e-12)


# --- other buffers, and what cannot move ------------------------------------------------------------------------------


def test_a_moving_average_moves_and_a_counter_that_nothing_reads_does_not_matter():
    low, high = drawn(3, seed=2), drawn(3, seed=3)
    a, b = held(0, scale=low, steps=torch.tensor(7)), held(1, scale=high, steps=torch.tensor(9))
    line = ls.interpolate(a, b, points=5)
    theta = 0.75 * a.theta + 0.25 * b.theta
    logits = (0.75 * low + 0.25 * high) * (X @ theta[:18].view(3, 6).T + theta[18:])
    assert line.loss[1] == pytest.approx(float(F.cross_entropy(logits, Y)), rel=1e-12)
    assert (line.loss[0], line.loss[-1], line.batch_statistics) == (a.loss(), b.loss(), "interpolate")


def refused_pairs():
    masks = torch.tensor([1, 1, 0, 1, 1, 1]), torch.tensor([1, 0, 1, 1, 1, 1])
    yield "mask.*whole numbers", held(0, mask=masks[0]), held(1, mask=masks[1])
    yield "mask.*whole numbers", held(0, mask=masks[0].bool()), held(1, mask=masks[1].bool())
    yield "scale.*shapes differ", held(0, scale=torch.ones(3)), held(1, scale=torch.ones(1))
    yield "built alike; only one has extra", held(0), held(1, extra=torch.ones(3))
    frozen = [trained(mlp, seed=seed) for seed in (0, 1)]
    yield r"outside θ.*0\.bias, 0\.weight", *(question(model, params="3.*") for model in frozen)
    yield (
        r"same parameters.*0\.weight",
        question(mlp().double()),
        question(mlp(width=9, norm=nn.BatchNorm1d(9)).double()),
    )
    yield "different data", question(frozen[0]), ls.Objective(frozen[1], F.cross_entropy, (X + 1, Y))
    yield "their mode", question(frozen[0]), question(frozen[1], mode="train")
    weights = torch.tensor([1.0, 2, 3]), torch.tensor([1.0, 2, 4])
    yield (
        r"losses differ in loss_fn\.weight",
        *(
            ls.Objective(m, nn.CrossEntropyLoss(weight=w.double()), (X, Y), check=False)
            for m, w in zip(frozen, weights, strict=True)
        ),
    )
    yield "same model object", question(frozen[0]), question(frozen[0])


@pytest.mark.parametrize(("said", "a", "b"), list(refused_pairs()))
def test_a_pair_whose_ends_would_not_be_its_models_is_refused_in_either_order(said, a, b):
    for one, other in ((a, b), (b, a)):
        for statistics in (None, "recompute"):
            with pytest.raises(UsageError, match=said):
                ls.interpolate(one, other, points=3, batch_statistics=statistics)


def test_frozen_parameters_that_are_equal_are_no_reason_to_refuse():
    model = trained(mlp)
    other = copy.deepcopy(model)
    other[3].weight.data += 1
    a, b = (question(m, params="3.*") for m in (model, other))
    assert ls.interpolate(a, b, points=3).loss[-1] == loss_of(other)


def test_what_both_ends_share_is_theirs_where_a_third_model_asks():
    a, b, c = (held(seed, scale=torch.full((3,), scale).double()) for seed, scale in ((0, 2.0), (1, 2.0), (2, 5.0)))
    line = ls.interpolate(c, a, b, points=3)
    assert line.loss.tolist() == ls.interpolate(a, b, points=3).loss.tolist()
    assert line.loss[-1] == b.loss()


def test_a_line_has_two_ends():
    _, _, a, b = pair()
    for ends in ((), (b.theta,), (a, b, b)):
        with pytest.raises(UsageError, match="two ends"):
            ls.interpolate(a, *ends)
    with pytest.raises(UsageError, match="'sometimes'"):
        ls.interpolate(a, b, batch_statistics="sometimes")


class Averaging(nn.Module):
    """Keeps a moving average of its inputs, and takes it away."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(6))
        self.register_buffer("unit", torch.ones(6))

    def forward(self, x):
        if self.training:
            self.mean.lerp_(x.detach().mean(0), 0.1)
        return self.linear(self.unit * (x - self.mean))


def spectral(kind):
    return lambda: nn.Sequential(kind(nn.Linear(6, 8)), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("make", "moved"),
    [
        (Averaging, ["mean"]),
        (spectral(nn.utils.spectral_norm), ["0.weight_u", "0.weight_v"]),
        (spectral(parametrizations.spectral_norm), [f"0.parametrizations.weight.0.{name}" for name in ("_u", "_v")]),
    ],
)
def test_other_buffers_that_training_moves_are_seen_and_belong_to_their_end(make, moved):
    a, b, at_a, at_b = pair(make)
    before = {name: value.clone() for name, value in a.state_dict().items()}
    assert moved_by_training(at_a) == moved
    assert all(torch.equal(value, before[name]) for name, value in a.state_dict().items())
    assert not any(part._forward_hooks for part in a.modules())
    for statistics in (None, "recompute"):
        with pytest.raises(UsageError, match="not all that training moves"):
            ls.interpolate(at_a, at_a.theta, at_b.theta, points=3, batch_statistics=statistics)
        with pytest.raises(UsageError, match="do not hold what training moves"):
            ls.evaluate_paths(at_a, {"run": torch.stack([at_a.theta, at_b.theta])}, points=3)
    line = ls.interpolate(at_a, at_b, points=3)
    assert (line.loss[0], line.loss[-1]) == pytest.approx((loss_of(a), loss_of(b)), rel=1e-12)


def test_a_checkpoint_and_a_model_are_ends_with_their_own_buffers(tmp_path):
    a, b, at_a, at_b = pair()
    saved = [ls.load_checkpoint(ls.save_checkpoint(tmp_path / str(i), m, step=1)) for i, m in enumerate((a, b))]
    expected = ls.interpolate(at_a, at_b, points=4)
    for ends in (saved, (a, b), (saved[0], at_b)):
        line = ls.interpolate(at_a, *ends, points=4)
        assert line.loss.tolist() == expected.loss.tolist()
        assert line.batch_statistics == "interpolate"
    with pytest.raises(UsageError, match="a vector is of another model: its .* is missing"):
        ls.interpolate(at_a, at_a, nn.Identity(), points=3)
    with pytest.raises(UsageError, match="given by a dict"):
        ls.interpolate(at_a, at_a, {}, points=3)
