"""Neurons that were exchanged by hand are put back, to the last bit, whatever the network is made of."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import UsageError
from landscape.problems.builtin.networks import MLP, LeNet5
from landscape.problems.builtin.residual import ResNet
from landscape.problems.builtin.transformer import CharTransformer
from landscape.store import ResultStore
from tests.support.planted import VGG, blocks, drawn, exchanged, flat, seeded


def mlp():
    p, q = drawn(9, 1), drawn(7, 2)
    model = seeded(lambda: MLP(5, (9, 7), 3))
    return model, exchanged(
        model,
        {
            "fc1.weight": {0: p},
            "fc1.bias": {0: p},
            "fc2.weight": {0: q, 1: p},
            "fc2.bias": {0: q},
            "fc3.weight": {1: q},
        },
    )


def lenet():
    a, b, c, d = drawn(6, 1), drawn(16, 2), drawn(120, 3), drawn(84, 4)
    model = seeded(LeNet5)
    orders = {
        "conv1.weight": {0: a}, "conv1.bias": {0: a}, "conv2.weight": {0: b, 1: a}, "conv2.bias": {0: b},
        "fc1.weight": {0: c, 1: blocks(b, 25)}, "fc1.bias": {0: c}, "fc2.weight": {0: d, 1: c}, "fc2.bias": {0: d},
        "fc3.weight": {1: d},
    }  # fmt: skip
    return model, exchanged(model, orders)


def vgg():
    a, b, c, d = drawn(6, 1), drawn(8, 2), drawn(5, 3), drawn(12, 4)
    model = seeded(VGG)
    norm = {f"features.3.{name}": {0: b} for name in ("weight", "bias", "running_mean", "running_var")}
    orders = {
        "features.0.weight": {0: a}, "features.0.bias": {0: a}, "features.2.weight": {0: b, 1: a},
        "features.6.weight": {0: c, 1: b}, "features.6.bias": {0: c},
        "classifier.0.weight": {0: d, 1: blocks(c, 4)}, "classifier.0.bias": {0: d}, "classifier.3.weight": {1: d},
    }  # fmt: skip
    return model, exchanged(model, norm | orders)


def resnet():
    """The stream of 4 channels, then 8 and 16 of which the first are those before; inner channels of each block."""
    stream = drawn(4, 1)
    streams = [stream, torch.cat([stream, 4 + drawn(4, 2)])]
    streams.append(torch.cat([streams[1], 8 + drawn(8, 3)]))
    model = seeded(lambda: ResNet(channels=4))
    orders = {"stem.weight": {0: stream}, "head.weight": {1: streams[2]}}
    norms = {"norm": stream}
    before = stream
    for i, after in enumerate(streams):
        inner = drawn(len(after), 10 + i)
        orders |= {f"blocks.{i}.conv1.weight": {0: inner, 1: before}, f"blocks.{i}.conv2.weight": {0: after, 1: inner}}
        norms |= {f"blocks.{i}.norm1": inner, f"blocks.{i}.norm2": after}
        before = after
    for path, order in norms.items():
        orders |= {f"{path}.{name}": {0: order} for name in ("weight", "bias", "running_mean", "running_var")}
    return model, exchanged(model, orders)


def transformer(width=12, heads=3):
    """The stream, the heads of each block, what is in each head by itself, and the inner layer."""
    inner, stream = width // heads, drawn(width, 1)
    model = seeded(lambda: CharTransformer(vocabulary=11, context=6, width=width, layers=2, heads=heads))
    orders = {"tokens.weight": {1: stream}, "positions.weight": {1: stream}, "norm.weight": {0: stream}}
    orders |= {"norm.bias": {0: stream}}
    for i in range(2):
        block, order = f"blocks.{i}.", drawn(heads, 10 + i)
        within = [
            torch.cat([order[h] * inner + drawn(inner, 100 * i + 10 * h + k) for h in range(heads)]) for k in (0, 1)
        ]
        qkv = torch.cat([within[0], width + within[0], 2 * width + within[1]])
        up = drawn(4 * width, 20 + i)
        orders |= {f"{block}norm{k}.{name}": {0: stream} for k in (1, 2) for name in ("weight", "bias")}
        orders |= {
            f"{block}qkv.weight": {0: qkv, 1: stream}, f"{block}qkv.bias": {0: qkv},
            f"{block}out.weight": {0: stream, 1: within[1]}, f"{block}out.bias": {0: stream},
            f"{block}up.weight": {0: up, 1: stream}, f"{block}up.bias": {0: up},
            f"{block}down.weight": {0: stream, 1: up}, f"{block}down.bias": {0: stream},
        }  # fmt: skip
    return model, exchanged(model, orders)


IMAGES = torch.randn(5, 1, 32, 32, generator=torch.Generator().manual_seed(5))
TOKENS = torch.randint(11, (3, 6), generator=torch.Generator().manual_seed(6))
CASES = {
    "mlp": (mlp, torch.randn(6, 5, generator=torch.Generator().manual_seed(7))), "lenet": (lenet, IMAGES),
    "vgg": (vgg, IMAGES), "resnet": (resnet, IMAGES), "transformer": (transformer, TOKENS),
}  # fmt: skip


@pytest.fixture(params=CASES)
def case(request):
    make, inputs = CASES[request.param]
    return (*make(), inputs)


def test_the_networks_that_were_exchanged_by_hand_are_the_same_function(case):
    """Else the tests below would prove nothing."""
    model, other, inputs = (*(part.double() for part in case[:2]), case[2])
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    assert not torch.equal(flat(model), flat(other))
    torch.testing.assert_close(model(inputs), other(inputs), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("method", ["weights", "activations"])
def test_a_planted_permutation_is_undone_to_the_last_bit(case, method):
    model, other, inputs = case
    found = ls.align(model, model, other, inputs=inputs, method=method)
    assert found.distance_before > 1
    if method == "weights":
        assert found.distance == 0
        assert np.array_equal(found.theta, flat(model).numpy())
    assert found.output_change < 1e-9
    assert not found.dropped
    back = ls.permuted_copy(other, found)
    assert torch.equal(flat(back), torch.from_numpy(found.theta))
    named = dict(back.named_buffers())
    if method == "weights":
        assert all(torch.equal(buffer, named[name]) for name, buffer in model.named_buffers())
    torch.testing.assert_close(back(inputs), other(inputs), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "similarity"), [("mlp", "correlation"), ("mlp", "product"), ("transformer", "correlation")]
)
def test_activations_tell_neurons_apart_where_none_is_silent(name, similarity):
    """ReLU networks have neurons that give nothing on a few examples; those are exchanged at will."""
    (model, other), inputs = CASES[name][0](), CASES[name][1]
    found = ls.align(model, model, other, inputs=inputs, method="activations", similarity=similarity)
    assert found.distance == 0
    assert found.method == f"activations, by {similarity}"
    np.testing.assert_allclose(found.alike, 1, atol=1e-6)


def test_inputs_are_found_from_the_first_layer_where_none_are_given(case):
    model, other, _ = case
    assert ls.align(model, model, other).distance == 0


def test_nothing_of_the_callers_is_changed(case):
    model, other, inputs = case
    model.train()
    before = [copy.deepcopy(one.state_dict()) for one in (model, other)]
    random = torch.random.get_rng_state()
    found = ls.align(model, model, other, inputs=inputs)
    ls.permuted_copy(other, found)
    for one, state in zip((model, other), before, strict=True):
        assert all(torch.equal(one.state_dict()[name], value) for name, value in state.items())
        assert all(p.grad is None for p in one.parameters())
    assert model.training
    assert torch.equal(random, torch.random.get_rng_state())


def test_it_is_taken_as_a_vector_and_moves_others_in_the_same_order():
    model, other = mlp()
    x = CASES["mlp"][1]
    objective = ls.Objective(model, F.cross_entropy, (x, torch.arange(6) % 3))
    found = ls.align(objective, model, flat(other))
    assert torch.equal(objective.point(found), objective.theta)
    assert np.array_equal(np.asarray(found), found.theta)
    line = ls.interpolate(objective, objective.theta, found, points=3)
    assert line.step_norm == 0
    at_other = ls.Objective(other, F.cross_entropy, (x, torch.arange(6) % 3))
    moved = found.permuted(at_other.gradient())
    np.testing.assert_allclose(moved, objective.gradient().numpy(), atol=1e-6)
    with pytest.raises(UsageError, match=r"vectors of shape \(3,\) do not fit"):
        found.permuted(np.ones(3))
    with pytest.raises(UsageError, match="no group 'fc9'; there are fc1, fc2"):
        found.permutation("fc9")
    assert found.permutation("fc1")[0].tolist() == drawn(9, 1).argsort().tolist()


def test_a_line_between_models_with_running_statistics_has_them_permuted_too():
    model, other = resnet()
    y = torch.arange(5)
    at_a, at_b = (ls.Objective(one, F.cross_entropy, (IMAGES, y)) for one in (model, other))
    found = ls.align(at_a, at_a, at_b)
    back = ls.permuted_copy(at_b, found)
    assert back.loss() == pytest.approx(at_b.loss(), rel=1e-5)
    line = ls.interpolate(at_a, back, points=3)
    assert line.step_norm == 0
    assert np.ptp(line.loss) == pytest.approx(0, abs=1e-6)


def test_what_does_not_fit_is_refused_in_our_words():
    model, other = mlp()
    with pytest.raises(UsageError, match=r"theta_b of shape \(3,\) does not fit"):
        ls.align(model, model, torch.ones(3))
    smaller = seeded(lambda: MLP(5, (8, 7), 3))
    with pytest.raises(UsageError, match=r"theta_b is of another model: its 'fc1\.weight' is of shape"):
        ls.align(model, model, smaller)
    bad = flat(model)
    bad[3] = torch.nan
    with pytest.raises(UsageError, match="theta_a holds 1 entries that are NaN"):
        ls.align(model, bad, other)
    with pytest.raises(UsageError, match="model must be a torch.nn.Module or an Objective"):
        ls.align("mlp", model, other)
    with pytest.raises(UsageError, match="no neurons of this model can be exchanged"):
        ls.align(seeded(lambda: nn.Linear(3, 2)), torch.ones(8), torch.zeros(8))
    with pytest.raises(UsageError, match="activations are compared on data"):
        ls.align(model, model, other, method="activations")
    with pytest.raises(UsageError, match="method='both' is not one of 'weights', 'activations'"):
        ls.align(model, model, other, method="both")


def test_checkpoints_are_ends_and_a_record_from_disk_is_a_vector(tmp_path):
    model, other = resnet()
    ends = []
    for name, one in (("a", model), ("b", other)):
        ls.save_checkpoint(tmp_path / name, one, step=1)
        ends.append(ls.CheckpointDir(tmp_path / name)[-1])
    objective = ls.Objective(model, F.cross_entropy, (IMAGES, torch.arange(5)))
    found = ls.align(objective, *ends)
    assert found.distance == 0
    assert len(found.buffers) == 14
    with ResultStore(tmp_path) as store:
        store.write("run", 1, "alignment", found, {"key": "k"})
        store.consolidate()
    read = ls.load_results(tmp_path).runs[0].last.records["alignment"]
    assert torch.equal(objective.point(read), objective.theta)
    assert read.permutation("stem").tolist() == found.permutation("stem").tolist()
    assert torch.equal(flat(ls.permuted_copy(other, read)), flat(model))
