"""Running statistics between two models, on lines and on planes; the truth is torch's own modules, set by hand."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

import landscape as ls
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import moved_by_training, recomputed

N = 60
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def built(make, *, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make()


X, Y = drawn(N, 6), torch.arange(N) % 3
IMAGES = drawn(N, 2, 6, 6, seed=1)


class Residual(nn.Module):
    """A convolution whose normalised output goes on by two ways, of which one is normalised again by the same layer."""

    def __init__(self, norm=nn.BatchNorm2d, **options):
        super().__init__()
        self.conv, self.again, self.head = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 1), nn.Linear(4, 3)
        self.norm, self.other = norm(4, **options), norm(4, momentum=None, affine=False, **options)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x)))
        return self.head((h + self.other(self.again(self.norm(3 * h + 1)))).mean((2, 3)))


def mlp(norm=None, width=8):
    return nn.Sequential(nn.Linear(6, width), norm or nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, 3))


def trained(make, x=X, *, seed=0, lr=0.3, steps=25, dtype=torch.float64):
    """Some steps in training mode, so that each model has statistics of its own."""
    model = built(make, seed=seed).to(dtype)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr)
    model.train()
    for step in range(steps):
        rows = (torch.arange(20) + 7 * step) % N
        optimizer.zero_grad()
        F.cross_entropy(model(x[rows].to(dtype)), Y[rows]).backward()
        optimizer.step()
    return model.eval()


def question(model, x=X, **options):
    dtype = next(model.parameters()).dtype
    return ls.Objective(model, F.cross_entropy, (x.to(dtype), Y), **options)


def pair(make=mlp, x=X, **options):
    """Two models trained from different weights at different rates, and their objectives."""
    models = trained(make, x, seed=0, lr=0.1), trained(make, x, seed=1, lr=0.5)
    return *models, *(question(model, x, **options) for model in models)


def loss_of(model, x=X):
    with torch.no_grad():
        return float(F.cross_entropy(model.eval()(x), Y))


def put(model, theta):
    """A copy of the model with these parameters."""
    twin = copy.deepcopy(model)
    nn.utils.vector_to_parameters(theta.clone(), twin.parameters())
    return twin


def with_statistics_of(model, x):
    """A copy whose running statistics are what torch gathers over the whole data in one batch."""
    twin = copy.deepcopy(model).eval()
    for layer in twin.modules():
        if isinstance(layer, NORMS) and layer.running_mean is not None:
            layer.reset_running_stats()
            # torch takes None for "never" in instance normalisation, and 1 for "the last alone"
            layer.momentum = None if isinstance(layer, NORMS[0]) else 1.0
            layer.train()
    with torch.no_grad():
        twin(x)
    return twin.eval()


# --- between two models -----------------------------------------------------------------------------------------------


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


class Held(nn.Module):
    """A linear map with something beside θ."""

    def __init__(self, **buffers):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        for name, value in buffers.items():
            self.register_buffer(name, value)

    def forward(self, x):
        scale = getattr(self, "scale", 1.0)
        mask = self.mask if hasattr(self, "mask") else 1
        return scale * self.linear(x * mask)


def held(seed, **buffers):
    return question(built(lambda: Held(**buffers), seed=seed).double())


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


# --- recomputed from the data -----------------------------------------------------------------------------------------


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
