"""The routes of a Hessian-vector product: blocks, other points, memory, models they cannot record, and the choice."""

from __future__ import annotations

import shutil
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape import hvp
from landscape.hvp import blocks, linearized, planner
from tests.support.networks import KINDS, dense_hessian, make
from tests.support.products import EAGER, Cube, seeded_vector

RECORDED = [route for route in EAGER if route not in ("fresh", "retained")]


def block_of(dim, columns, dtype=torch.float64):
    return torch.stack([seeded_vector(dim, seed, dtype) for seed in range(columns)], dim=1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ["linearized", "forward/channels-last"])
def test_a_block_equals_the_dense_hessian_times_its_columns(kind, route):
    model, loss_fn, batches = make(kind)
    objective = ls.Objective(model, loss_fn, batches, chunk=None, check=False)
    H = ls.HessianOperator(objective, route=f"{route}/blocks-16")
    exact = dense_hessian(model, loss_fn, batches)
    for columns in (1, 3, 7, 21):
        V = block_of(H.dim, columns)
        assert (H @ V - exact @ V).norm() <= 1e-12 * (exact @ V).norm()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("route", ["fresh", "retained", "linearized", "forward", "differences"])
def test_the_same_recording_serves_another_point(kind, route):
    """And the point it was made for stays as it was."""
    model, loss_fn, batches = make(kind)
    objective = ls.Objective(model, loss_fn, batches, check=False)
    H = ls.HessianOperator(objective, route=route)
    v, moved = seeded_vector(H.dim, 0), objective.theta + 0.1 * seeded_vector(H.dim, 1)
    before = H @ v
    there = H.at(moved)
    expected = objective.hvp(v, moved)
    limit = 1e-12 if route != "differences" else 1e-5
    assert (there @ v - expected).norm() <= limit * expected.norm()
    assert (before - expected).norm() > 1e-3 * expected.norm()
    assert torch.equal(H @ v, before)
    if route in RECORDED:
        assert there._product.kernels is H._product.kernels


def test_chunks_of_one_shape_share_one_recording():
    model, loss_fn, batches = make("mlp", sizes=(4, 4, 4, 1))
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, chunk=4, check=False), route="linearized")
    assert H.objective.num_chunks == 4
    assert len(H._product.kernels._traced) == 2


class DecidesByItself(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        y = self.fc(x)
        return torch.tanh(y) if y[0, 0] > 0 else y**2


class LooksThroughNumpy(DecidesByItself):
    """Whether the first input is positive is read past every recording."""

    def forward(self, x):
        return torch.tanh(self.fc(x)) if x.detach().numpy()[0, 0] > 0 else self.fc(x) ** 2


class StandsStill(nn.Module):
    """Forward mode differentiates what no_grad hides."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        y = self.fc(x)
        with torch.no_grad():
            scale = 1 + (y**2).mean()
        return torch.tanh(y) * scale


class OfItsOwn(DecidesByItself):
    """An operation that has a second derivative and no forward mode."""

    def forward(self, x):
        return Cube.apply(self.fc(x))


@pytest.mark.parametrize("kind", [DecidesByItself, LooksThroughNumpy, StandsStill, OfItsOwn])
def test_a_model_that_a_recording_gets_wrong_is_refused_by_name_and_left_to_double_backward(kind, monkeypatch):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = kind().double()
        x, y = torch.randn(8, 3).double(), torch.randint(4, (8,))
    x[0, 0], x[4, 0] = 1.0, -1.0
    objective = ls.Objective(model, F.cross_entropy, (x, y), chunk=4, check=False)
    for route in ("linearized", "forward"):
        with pytest.raises(ls.ObjectiveError, match="impossible for this model.*route='auto'"):
            ls.HessianOperator(objective, route=route)
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    H = ls.HessianOperator(objective)
    assert H.route in ("fresh", "retained")
    v = seeded_vector(H.dim, 0)
    assert (H @ v - objective.hvp(v)).norm() <= 1e-14 * objective.hvp(v).norm()
    assert any(c.refused for c in H.plan.candidates)


def test_auto_takes_the_fastest_that_is_sound(monkeypatch):
    """With timings laid down, the choice follows them."""
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    monkeypatch.setattr(planner, "COMPILING_SECONDS", float("inf"))
    for cost in ({"fresh": 1, "linearized": 3, "retained": 2}, {"fresh": 3, "linearized": 2, "retained": 1},
                 {"fresh": 3, "linearized": 1}):  # fmt: skip
        laid = iter(cost.values())
        monkeypatch.setattr(planner, "seconds", lambda call, device, limit=0, first=None: next(laid))  # noqa: B023
        H = ls.HessianOperator(objective)
        assert H.route == min(cost, key=cost.get)
        assert H.route in str(H.plan)
        assert [c.route for c in H.plan.candidates] == list(cost)


@pytest.mark.parametrize(
    ("seconds", "suffix"), [((1.0, 2.0, 3.2, 8.0), "/blocks-8"), ((1.0, 4.4), ""), ((1.0, 3.0, 8.0), "/blocks-4")]
)
def test_blocks_grow_as_long_as_a_vector_gets_cheaper(monkeypatch, seconds, suffix):
    """With timings laid down: of one vector, then of blocks of 4, 8 and 16."""
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, chunk=20, check=False)
    H = ls.HessianOperator(objective, route="linearized")
    H._blocks = None  # as after route="auto"
    laid = iter(seconds)
    monkeypatch.setattr(blocks, "BLOCKING_SECONDS", 0.0)
    monkeypatch.setattr(blocks, "seconds", lambda call, device: next(laid))
    V = block_of(H.dim, 11)
    seen = H @ V
    assert H.route == "linearized" + suffix
    assert f"{1e3 * seconds[1] / 4:.2f} ms a vector in blocks of 4" in H.plan.reason
    exact = dense_hessian(model, loss_fn, batches)
    assert (seen - exact @ V).norm() <= 1e-12 * (exact @ V).norm()
    assert next(laid, None) is None
    H @ V  # considered once


def test_few_expected_products_are_not_worth_a_recording():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    seen = [c.route for c in ls.HessianOperator(objective, expected_matvecs=1).plan.candidates]
    assert seen == ["fresh", "retained"]


def test_what_does_not_fit_the_memory_is_not_kept(monkeypatch):
    model, loss_fn, batches = make("cnn")
    objective = ls.Objective(model, loss_fn, batches, chunk=4, check=False)
    monkeypatch.setattr(planner, "RECORDING_SECONDS", 0.0)
    H = ls.HessianOperator(objective, memory=1000)
    assert {c.route.split("/")[0] for c in H.plan.candidates} == {"fresh", "forward"}
    forward = ls.HessianOperator(objective, route="forward")
    assert forward._product.kept_bytes == 0
    assert ls.HessianOperator(objective, route="linearized")._product.kept_bytes > 1000


def test_the_route_is_a_name_that_can_be_asked_for_again():
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, chunk=20, check=False)
    for route in (*RECORDED, "linearized/blocks-8", "forward/channels-last/blocks-4"):
        H = ls.HessianOperator(objective, route=route)
        assert H.route == route
        v = seeded_vector(H.dim, 0)
        assert torch.equal(ls.HessianOperator(objective, route=H.route) @ v, H @ v)
    for wrong in ("best", "fresh/blocks-8", "linearized/blocks-5"):
        with pytest.raises(ls.UsageError, match="route"):
            ls.HessianOperator(objective, route=wrong)


class Hungry:
    """A loss that has no room for more than ``most`` examples at a time."""

    def __init__(self, most, error):
        self.most, self.error = most, error

    def __call__(self, output, target):
        if len(output) > self.most:
            raise self.error
        return F.cross_entropy(output, target)


CPU_TEXT = "[enforce fail at alloc_cpu.cpp:113] err == 0. DefaultCPUAllocator: can't allocate memory: you tried …"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_TEXT)])
def test_out_of_memory_halves_the_chunks_once_with_a_warning(error):
    model, _, batches = make("mlp", sizes=(16,))
    expected = ls.Objective(model, F.cross_entropy, batches).hvp(v := seeded_vector(68, 0))
    loss = Hungry(16, error)
    objective = ls.Objective(model, loss, batches, chunk=16, check=False)
    H = ls.HessianOperator(objective, route="fresh")
    loss.most = 8
    with pytest.warns(RuntimeWarning, match="chunks of 16 examples; going on with 8"):
        seen = H @ v
    assert (seen - expected).norm() <= 1e-14 * expected.norm()
    loss.most = 3
    with pytest.raises(type(error), match="memory"):
        H @ v


def test_any_other_error_is_not_taken_for_a_lack_of_memory():
    model, _, batches = make("mlp", sizes=(16,))
    loss = Hungry(16, RuntimeError("shapes do not match"))
    H = ls.HessianOperator(ls.Objective(model, loss, batches, chunk=16, check=False), route="fresh")
    loss.most = 8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeError, match="shapes"):
            H @ seeded_vector(68, 0)


@pytest.mark.campaign
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling needs a C++ compiler")
@pytest.mark.parametrize("kind", ["mlp", "cnn", "tied"])
@pytest.mark.parametrize("route", ["compiled", "compiled-forward"])
def test_compiled_products_change_no_digit_beyond_rounding(kind, route):
    model, loss_fn, batches = make(kind)
    objective = ls.Objective(model, loss_fn, batches, chunk=None, check=False)
    H = ls.HessianOperator(objective, route=f"{route}/blocks-4")
    V = block_of(H.dim, 5)
    expected = dense_hessian(model, loss_fn, batches) @ V
    assert (H @ V - expected).norm() <= 1e-12 * expected.norm()
    assert (H @ V[:, 0] - expected[:, 0]).norm() <= 1e-12 * expected[:, 0].norm()


@pytest.mark.parametrize("route", ["fresh", "retained", "linearized", "forward", "differences"])
def test_a_caller_in_inference_mode_gets_the_same_product(route):
    model, loss_fn, batches = make("mlp")
    objective = ls.Objective(model, loss_fn, batches, check=False)
    v = seeded_vector(68, 0)
    expected = ls.HessianOperator(objective, route=route) @ v
    with torch.inference_mode():
        seen = ls.HessianOperator(objective, route=route) @ v.clone()
    assert torch.equal(seen.clone(), expected)


def test_the_plan_is_logged(caplog):
    model, loss_fn, batches = make("mlp")
    with caplog.at_level("INFO", logger="landscape.hvp"):
        H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, check=False))
    assert str(H.plan) in caplog.text
    assert hvp.ROUTES[0] == "auto"


class Overwrites(nn.Module):
    """What backward needs is written over."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 4)

    def forward(self, x):
        y = torch.exp(self.fc(x))
        y *= 2
        return y


@pytest.mark.parametrize("route", ["auto", "fresh", "retained", "linearized"])
def test_an_error_of_torch_in_a_backward_pass_is_one_refusal(route):
    with torch.random.fork_rng():
        model = Overwrites()
    objective = ls.Objective(model, F.cross_entropy, (torch.ones(4, 3), torch.arange(4)), check=False)
    with pytest.raises(ls.ObjectiveError, match="in place|inplace"):
        ls.HessianOperator(objective, route=route) @ objective.theta


def test_a_block_is_tried_on_the_residuals_that_are_kept(monkeypatch):
    """Of a large model those of one chunk are gigabytes, and a pass forward and back."""
    model, loss_fn, batches = make("mlp")
    H = ls.HessianOperator(ls.Objective(model, loss_fn, batches, chunk=20, check=False), route="linearized")
    H._blocks = None  # as after route="auto"
    made = []
    monkeypatch.setattr(linearized.Kernels, "residuals", lambda self, parts, index, tensors: made.append(index))
    H @ block_of(H.dim, 4)
    assert H._blocks
    assert made == []
