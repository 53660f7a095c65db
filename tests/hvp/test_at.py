"""``H.at(theta)`` after all that is not θ has moved, and where the point itself changes the model's course."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.hvp import planner

ROUTES = ("fresh", "retained", "linearized", "forward", "differences")
RECORDED = ("linearized", "forward")
STEP = 1e-5


def differences(model, loss, *, params=None):
    """The dense Hessian by central differences of plain gradients, at the model as it is."""
    parameters = params or list(model.parameters())
    columns = []
    for parameter in parameters:
        flat = parameter.data.view(-1)
        for i in range(len(flat)):
            sides = []
            for sign in (1, -2):
                flat[i] += sign * STEP
                pieces = torch.autograd.grad(loss(), parameters, allow_unused=True)
                pairs = zip(pieces, parameters, strict=True)
                sides.append(torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in pairs]))
            flat[i] += STEP
            columns.append((sides[0] - sides[1]) / (2 * STEP))
    return torch.stack(columns, dim=1)


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


X, Y = 2 * draw(12, 3), torch.arange(12) % 3


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 3))


class Attributes(nn.Module):
    """A number and a tensor that are no buffers, and a buffer."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
        self.temperature, self.offset = 1.0, draw(3)
        self.register_buffer("scale", torch.ones(3, dtype=torch.float64))

    def forward(self, x):
        return self.body(x) * self.scale / self.temperature + self.offset


class Flagged(nn.Module):
    """A buffer that is asked for its value."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 3)
        self.register_buffer("started", torch.tensor(False))

    def forward(self, x):
        return torch.tanh(self.body(x)) if self.started else self.body(x)


class Weighted(nn.Module):
    """A loss with tensors of its own, a parameter and a buffer."""

    def __init__(self):
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.register_buffer("weights", torch.ones(3, dtype=torch.float64))

    def forward(self, output, target):
        return F.cross_entropy(self.sharpness * output * self.weights, target)


def move_statistics(model, loss_fn):
    model[1].running_mean += 0.5
    model[1].running_var *= 3
    model[1].num_batches_tracked += 1


def move_frozen(model, loss_fn):
    model[0].weight.data *= 1.5


def move_flag(model, loss_fn):
    model.started.fill_(True)


def move_number(model, loss_fn):
    model.temperature = 2.5


def move_tensor(model, loss_fn):
    model.offset = model.offset + draw(3, seed=5)


def move_buffer(model, loss_fn):
    model.scale *= draw(3, seed=6)


def replace_buffer(model, loss_fn):
    """Of another shape: one number for all classes."""
    model.scale = torch.full((1,), 1.7, dtype=torch.float64)


def move_loss(model, loss_fn):
    loss_fn.sharpness.data *= 2
    loss_fn.weights += 0.3


MOVES = {
    "statistics": (Normed, F.cross_entropy, move_statistics),
    "frozen": (Normed, F.cross_entropy, move_frozen),
    "flag": (Flagged, F.cross_entropy, move_flag),
    "number": (Attributes, F.cross_entropy, move_number),
    "tensor": (Attributes, F.cross_entropy, move_tensor),
    "buffer": (Attributes, F.cross_entropy, move_buffer),
    "another shape": (Attributes, F.cross_entropy, replace_buffer),
    "loss": (Normed, Weighted, move_loss),
}


def built(name):
    model_of, loss_of, move = MOVES[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = model_of().double().eval()
    if name == "frozen":
        model[0].requires_grad_(False)
    loss_fn = loss_of() if isinstance(loss_of, type) else loss_of
    return model, loss_fn, move


@pytest.mark.parametrize(
    ("name", "route"),
    [("statistics", route) for route in ROUTES]
    + [(name, route) for name in MOVES if name not in ("statistics", "flag") for route in RECORDED]
    + [("flag", "auto")],
)
@torch.no_grad()
def test_another_point_is_that_of_what_the_model_holds_now(name, route, monkeypatch):
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "COMPILING_SECONDS", float("inf"))
    model, loss_fn, move = built(name)
    objective = ls.Objective(model, loss_fn, (X, Y), chunk=6, check=False)
    H = ls.HessianOperator(objective, route=route)
    before = H.dense() if name in ("statistics", "frozen", "buffer", "loss") else None
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter += 0.1 * draw(*parameter.shape, seed=3)
    move(model, loss_fn)
    there = H.at(objective.theta)
    with torch.enable_grad():
        free = [p for p in model.parameters() if p.requires_grad]
        exact = differences(model, lambda: loss_fn(model(X), Y), params=free)
    limit = 1e-7 if route != "differences" else 1e-5
    assert (there.dense() - exact).norm() <= limit * exact.norm()
    if before is not None:  # what the objective holds itself; what it cannot see moves under every operator
        assert (H.dense() - before).norm() <= limit * before.norm()
        assert (before - exact).norm() > 1e-2 * exact.norm(), "the example must be one"


@pytest.mark.parametrize(
    ("name", "route"),
    [("statistics", "linearized"), ("frozen", "forward"), ("buffer", "linearized"), ("loss", "forward")],
)
@torch.no_grad()
def test_what_the_model_holds_is_an_input_of_a_recording_which_serves_again(name, route):
    model, loss_fn, move = built(name)
    objective = ls.Objective(model, loss_fn, (X, Y), chunk=6, check=False)
    H = ls.HessianOperator(objective, route=route)
    count = H._product.kernels.count
    move(model, loss_fn)
    there = H.at(objective.theta)
    assert there._product.kernels is H._product.kernels
    assert there._product.kernels.count == count


def masked_mean(output, target):
    """Over the examples that are not yet fitted: their number depends on θ."""
    losses = F.cross_entropy(output, target, reduction="none")
    return losses[losses > 1.0].mean()


def hardest(output, target):
    losses = F.cross_entropy(output, target, reduction="none")
    return losses.masked_select(losses.detach() > losses.detach().median()).sum() / len(losses)


def by_branch(output, target):
    """A course that torch does not see being taken: by numbers outside of it."""
    losses = F.cross_entropy(output, target, reduction="none")
    return losses.mean() if masked_mean.far is False else (losses**2).mean()


masked_mean.far = False


@pytest.mark.parametrize("loss_fn", [masked_mean, hardest])
@pytest.mark.parametrize("asked", ["auto", "linearized", "forward"])
def test_a_number_of_examples_that_depends_on_the_point_is_that_of_each_point(loss_fn, asked, monkeypatch):
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "COMPILING_SECONDS", float("inf"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    objective = ls.Objective(model, loss_fn, (X, Y), chunk=None, check=False)
    start = objective.theta
    H = ls.HessianOperator(objective, route=asked)
    counts = set()
    for seed in range(3):
        theta = start + 0.7 * draw(len(start), seed=seed)
        with torch.no_grad():
            for parameter, part in zip(model.parameters(), objective.layout.split(theta), strict=True):
                parameter.copy_(part)
            counts.add(int((F.cross_entropy(model(X), Y, reduction="none") > 1.0).sum()))
        exact = differences(model, lambda: loss_fn(model(X), Y))
        H = H.at(theta)
        assert (H.dense() - exact).norm() <= 1e-7 * exact.norm()
    assert len(counts) > 1, "the example must be one"


@pytest.mark.parametrize("route", RECORDED)
def test_another_weight_of_a_penalty_that_is_zero_at_the_point_is_seen(route):
    """Loss and gradient are there as they were; the Hessian is not."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    anchor, weight = [p.detach().clone() for p in model.parameters()], {"of the penalty": 0.1}

    def loss(model, batch):
        pull = sum(((p - a) ** 2).sum() for p, a in zip(model.parameters(), anchor, strict=True))
        return F.cross_entropy(model(batch[0]), batch[1]) + weight["of the penalty"] * pull

    objective = ls.Objective.from_loss(model, loss, (X, Y), check=False)
    H = ls.HessianOperator(objective, route=route)
    weight["of the penalty"] = 1.0
    exact = differences(model, lambda: loss(model, (X, Y)))
    assert (H.at(objective.theta).dense() - exact).norm() <= 1e-7 * exact.norm()


@pytest.mark.parametrize("route", RECORDED)
def test_a_loss_that_was_exchanged_behind_the_objective_is_seen(route):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    objective = ls.Objective(model, by_branch, (X, Y), check=False)
    H = ls.HessianOperator(objective, route=route)
    masked_mean.far = True
    try:
        there = H.at(objective.theta)
        exact = differences(model, lambda: by_branch(model(X), Y))
    finally:
        masked_mean.far = False
    assert (there.dense() - exact).norm() <= 1e-7 * exact.norm()


def test_where_a_recording_is_impossible_at_the_other_point_auto_takes_another_route(monkeypatch):
    """And a route that was asked for by name is refused."""
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "COMPILING_SECONDS", float("inf"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    objective = ls.Objective(model, F.cross_entropy, (X, Y), check=False)
    laid = iter([3.0, 1.0])
    monkeypatch.setattr(planner, "seconds", lambda call, device, limit=0, first=None: next(laid, 1.0))
    taken, named = ls.HessianOperator(objective), ls.HessianOperator(objective, route="linearized")
    assert taken.route == "linearized"
    monkeypatch.setattr("landscape.hvp.linearized.trace", _cannot)
    monkeypatch.setattr("landscape.hvp.linearized.Kernels.one_point", True)
    there = taken.at(objective.theta)
    assert there.route in ("fresh", "retained")
    exact = differences(model, lambda: F.cross_entropy(model(X), Y))
    assert (there.dense() - exact).norm() <= 1e-7 * exact.norm()
    with pytest.raises(ls.ObjectiveError, match="route='linearized' is impossible"):
        named.at(objective.theta)


def _cannot(*_):
    raise RuntimeError("an operation without forward mode")


@pytest.mark.parametrize(
    ("name", "operator"),
    [(name, ls.GaussNewtonOperator) for name in ("statistics", "frozen", "buffer", "loss", "number")]
    + [(name, ls.FisherOperator) for name in ("statistics", "frozen", "buffer", "number")],
)
@torch.no_grad()
def test_gauss_newton_and_fisher_at_another_point_are_those_of_what_the_model_holds_now(name, operator):
    model, loss_fn, move = built(name)
    objective = ls.Objective(model, loss_fn, (X, Y), chunk=6, check=False)
    G = operator(objective)
    move(model, loss_fn)
    seen = G.at(objective.theta).dense()
    with torch.enable_grad():
        free = [p for p in model.parameters() if p.requires_grad]
        outputs = model(X)
        J = torch.stack([
            torch.cat([g.reshape(-1) for g in torch.autograd.grad(f, free, retain_graph=True)])
            for f in outputs.reshape(-1)
        ])  # fmt: skip
        at = outputs.detach().clone().requires_grad_()
        B = torch.autograd.functional.hessian(lambda f: loss_fn(f, Y), at).reshape(len(J), len(J))
    exact = J.T @ B @ J
    assert (seen - exact).norm() <= 1e-10 * exact.norm()
