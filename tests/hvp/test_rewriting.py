"""Rewritten recordings compute what they did, and avoid what they are to avoid."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

import landscape as ls
from landscape.hvp.rewriting import drop_changes_in_place, spell_out_pooling
from landscape.hvp.tape import record

aten = torch.ops.aten


def operations_of(graph):
    return {str(node.target) for node in graph.nodes if node.op == "call_function"}


def pooled(images, **options):
    """The recording of a mean over patches and of its derivative, both rewritten."""
    weights = torch.linspace(-1, 1, F.avg_pool2d(images, **options).numel(), dtype=images.dtype)

    def value_and_gradient(x):
        y = F.avg_pool2d(x, **options)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            total = (F.avg_pool2d(x, **options).flatten() * weights).sum()
            return y, torch.autograd.grad(total, x)[0]

    recorded = fx.GraphModule(*record(value_and_gradient, [images]))
    before = operations_of(recorded.graph)
    spell_out_pooling(recorded.graph)
    recorded.recompile()
    return recorded, before, value_and_gradient


def images(height, width, *, seed=0):
    return torch.randn(3, 2, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("height", "width", "options"),
    [(8, 6, {"kernel_size": 2}), (6, 8, {"kernel_size": (3, 4)}), (6, 9, {"kernel_size": (1, 3), "stride": (1, 3)})],
)
def test_means_over_patches_that_tile_the_image_are_sums_of_slices_and_the_same(height, width, options):
    recorded, before, eager = pooled(images(height, width), **options)
    assert {"aten.avg_pool2d.default", "aten.avg_pool2d_backward.default"} <= before
    assert not any("avg_pool2d" in name for name in operations_of(recorded.graph))
    for seed in (0, 1):
        x = images(height, width, seed=seed)
        for ours, truth in zip(recorded(x), eager(x), strict=True):
            torch.testing.assert_close(ours, truth, rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (7, {"kernel_size": 2}),
        (7, {"kernel_size": 2, "ceil_mode": True}),
        (8, {"kernel_size": 2, "stride": 1}),
        (8, {"kernel_size": 2, "padding": 1}),
        (8, {"kernel_size": 2, "divisor_override": 3}),
        (10, {"kernel_size": 5}),
    ],
)
def test_other_means_are_left_to_torch(size, options):
    recorded, before, eager = pooled(images(size, size), **options)
    assert operations_of(recorded.graph) == before
    for ours, truth in zip(recorded(images(size, size)), eager(images(size, size)), strict=True):
        assert torch.equal(ours, truth)


def test_images_with_channels_last_are_left_to_torch():
    recorded, before, _ = pooled(images(8, 8).to(memory_format=torch.channels_last), kernel_size=2)
    assert "aten.avg_pool2d.default" in operations_of(recorded.graph) & before


@pytest.mark.parametrize("route", ["linearized", "forward", "linearized/channels-last", "linearized/blocks-4"])
def test_products_through_rewritten_pooling_agree_with_double_backward(route):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 2), nn.Tanh(), nn.AvgPool2d((1, 2)),
            nn.Flatten(), nn.Linear(4, 3),
        ).double()  # fmt: skip
        x, y = torch.randn(5, 1, 6, 8).double(), torch.randint(3, (5,))
    objective = ls.Objective(model, F.cross_entropy, (x, y), chunk=2, check=False)
    H = ls.HessianOperator(objective, route=route)
    V = torch.randn(H.dim, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    truth = torch.stack([objective.hvp(V[:, i]) for i in range(5)], dim=1)
    assert (H @ V - truth).norm() <= 1e-12 * truth.norm()


def by_hand(build):
    """A graph of one input x, and what it computes."""
    graph = torch.fx.Graph()
    graph.output(build(graph, graph.placeholder("x")))
    return graph, torch.fx.GraphModule(nn.Module(), graph)


def test_an_operation_that_overwrites_a_fresh_tensor_makes_a_new_one():
    def build(graph, x):
        total = graph.call_function(aten.mul.Tensor, (x, 2.0))
        early = graph.call_function(aten.add.Tensor, (total, 1.0))  # reads what is then overwritten
        halved = graph.call_function(aten.div_.Tensor, (total, 4.0))
        late = graph.call_function(aten.add.Tensor, (total, 0.0))  # reads what it was overwritten with
        return early, halved, late

    graph, module = by_hand(build)
    assert drop_changes_in_place(graph)
    module.recompile()
    assert not any(node.target._schema.is_mutable for node in graph.nodes if node.op == "call_function")
    assert [float(y) for y in module(torch.tensor(3.0))] == [7.0, 1.5, 1.5]


@pytest.mark.parametrize("kind", ["input", "view", "viewed", "no twin"])
def test_what_something_else_may_share_the_memory_of_is_not_rewritten(kind):
    def build(graph, x):
        if kind == "input":
            return graph.call_function(aten.div_.Tensor, (x, 2.0))
        fresh = graph.call_function(aten.mul.Tensor, (x, 2.0))
        view = graph.call_function(aten.view.default, (fresh, [2]))
        if kind == "view":
            graph.call_function(aten.div_.Tensor, (view, 2.0))
            return fresh
        if kind == "viewed":
            graph.call_function(aten.div_.Tensor, (fresh, 2.0))
            return view
        return graph.call_function(aten.add.out, (x, x), {"out": fresh})

    assert not drop_changes_in_place(by_hand(build)[0])
