"""Which neurons a network lets one exchange is found in its operations, and proved by its outputs."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import LandscapeError, ObjectiveError, UsageError
from landscape.geometry.alignment import tracing
from landscape.problems import get_problem
from tests.support.planted import Gated, flat, seeded


class Layers(nn.Module):
    """Named layers, and how they are put together."""

    def __init__(self, forward, **layers) -> None:
        super().__init__()
        self._forward = forward
        for name, layer in layers.items():
            self.add_module(name, layer) if isinstance(layer, nn.Module) else self.register_parameter(name, layer)

    def forward(self, x):
        return self._forward(self, x)


def drawn(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(4))


def dense(forward, hidden=5, **others):
    return lambda: Layers(
        forward, a=nn.Linear(3, hidden), b=nn.Linear(hidden, 2), **{k: made() for k, made in others.items()}
    )


def images(layers):
    return lambda: nn.Sequential(*layers(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(2))


def ensemble():
    draw = {name: nn.Parameter(drawn(*shape)) for name, shape in (("w", (4, 3, 6)), ("v", (4, 6, 2)))}
    return Layers(lambda m, x: torch.einsum("eni,eio->no", torch.einsum("ni,eio->eno", x, m.w).relu(), m.v), **draw)


def attention():
    return nn.Sequential(nn.TransformerEncoderLayer(8, 2, 10, batch_first=True), nn.Linear(8, 2))


def shared_keys():
    """Four heads of queries on two of keys and values."""

    def forward(m, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (m.q, m.k, m.v))
        mixed = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
        return m.o(mixed.transpose(1, 2).flatten(2))

    return Layers(forward, q=nn.Linear(5, 12), k=nn.Linear(5, 6), v=nn.Linear(5, 6), o=nn.Linear(12, 2))


def recurrent(kind):
    return lambda: Layers(lambda m, x: m.head(m.core(x)[0]), core=kind(3, 5, num_layers=2), head=nn.Linear(5, 2))


VECTOR, SEQUENCE, PIXELS = (4, 3), (2, 4, 3), (2, 1, 6, 6)
#: name → how it is built, shape of its inputs, and (size, copies) of each of its groups.
FOUND = {
    "dense": (dense(lambda m, x: m.b(m.a(x).relu())), VECTOR, [(5, 1)]),
    "of two sizes": (dense(lambda m, x: m.b(F.pad(m.a(x).relu()[:, :3], (0, 2)))), VECTOR, [(2, 1), (3, 1)]),
    "one neuron by itself": (dense(lambda m, x: m.b(m.a(x).relu()) * m.a(x)[:, :1]), VECTOR, [(4, 1)]),
    "normalised": (dense(lambda m, x: m.b(m.n(m.a(x))), n=lambda: nn.LayerNorm(5)), VECTOR, [(5, 1)]),
    "halves that gate": (
        lambda: Layers(lambda m, x: m.b(F.glu(m.a(x))), a=nn.Linear(3, 8), b=nn.Linear(4, 2)), VECTOR, [(4, 1)],
    ),
    "concatenated": (
        dense(
            lambda m, x: m.c(torch.cat([m.a(x).relu(), m.d(x).tanh()], 1)), c=lambda: nn.Linear(9, 2),
            d=lambda: nn.Linear(3, 4),
        ),
        VECTOR, [(4, 1), (5, 1)],
    ),
    "residual": (
        dense(lambda m, x: m.b(m.a(x) + m.d(m.c(m.a(x)).relu())), c=lambda: nn.Linear(5, 7), d=lambda: nn.Linear(7, 5)),
        VECTOR, [(5, 1), (7, 1)],
    ),
    "by its own activations": (dense(lambda m, x: m.b(m.p(m.a(x))), p=lambda: nn.PReLU(5)), VECTOR, [(5, 1)]),
    "bilinear": (
        dense(lambda m, x: m.c(m.a(x).relu(), m.a(x).relu()) + m.b(m.a(x)), c=lambda: nn.Bilinear(5, 5, 2)), VECTOR,
        [(5, 1)],
    ),
    "bags of words": (
        dense(lambda m, x: m.b((m.c((x > 0).long()) + m.a(x)).relu()), c=lambda: nn.EmbeddingBag(2, 5)), VECTOR,
        [(5, 1)],
    ),
    "weight norm": (
        lambda: nn.Sequential(torch.nn.utils.parametrizations.weight_norm(nn.Linear(3, 5)), nn.ReLU(), nn.Linear(5, 2)),
        VECTOR, [(5, 1)],
    ),
    "an ensemble": (ensemble, VECTOR, [(4, 1), (6, 4)]),
    "of groups": (images(lambda: [nn.Conv2d(1, 8, 3), nn.GroupNorm(2, 8), nn.ReLU()]), PIXELS, [(2, 1), (4, 2)]),
    "depthwise": (
        images(lambda: [nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, groups=6), nn.ReLU(), nn.Conv2d(6, 4, 1)]), PIXELS,
        [(4, 1), (6, 1)],
    ),
    "grouped": (
        images(lambda: [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, groups=2)]), PIXELS,
        [(2, 1), (4, 2), (6, 2)],
    ),
    "transposed": (
        images(lambda: [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 6, 3)]), PIXELS, [(4, 1), (6, 1)],
    ),
    "rotary": (lambda: Gated(), (2, 4, 8), [(2, 1), (4, 2), (12, 1)]),
    "an encoder layer": (attention, (2, 4, 8), [(2, 1), (4, 2), (4, 2), (10, 1)]),
    "shared keys": (shared_keys, (2, 4, 5), [(2, 1), (2, 2), (3, 2), (3, 2)]),
    "LSTM": (recurrent(nn.LSTM), SEQUENCE, [(5, 1), (5, 1)]),
    "GRU": (recurrent(nn.GRU), SEQUENCE, [(5, 1), (5, 1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_the_groups_are_those_that_the_network_has(name):
    build, shape, expected = FOUND[name]
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(3))

    def made():
        model = copy.deepcopy(build()).eval()
        model(inputs)
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(std=0.5)
        return model

    model, other = seeded(made), seeded(made, seed=1)
    found = ls.align(model, model, other, inputs=inputs)
    assert not found.dropped
    assert sorted(zip(found.sizes.tolist(), found.copies.tolist(), strict=True)) == expected
    assert found.distance < found.distance_before
    back = ls.permuted_copy(other, found).double()
    torch.testing.assert_close(back(inputs.double()), other.double()(inputs.double()), rtol=1e-9, atol=1e-9)
    assert not torch.equal(flat(back), flat(other))


def test_what_is_not_looked_up_in_these_data_is_not_exchanged():
    """Rows of a table of positions beyond the length of the text: free in the trace, and another function if moved."""
    positions = nn.Parameter(drawn(9, 5))
    model = seeded(dense(lambda m, x: m.b((m.a(x) + m.positions[: x.shape[1]]).relu()), positions=lambda: positions))
    found = ls.align(model, model, flat(model), inputs=drawn(2, 4, 3))
    assert found.sizes.tolist() == [5]
    assert found.where == ("positions[1], a.weight[0], a.bias[0], b.weight[1]",)


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.b(m.a(x).cumsum(1)),
        lambda m, x: m.b(torch.fft.fft(m.a(x)).real),
        lambda m, x: m.b(m.a(x) * torch.arange(5.0)),
        lambda m, x: m.b(m.a(x).flip(1)),
        lambda m, x: torch.cat([m.b(m.a(x)), m.a(x)], 1),
    ],
)
def test_an_order_that_matters_is_kept(forward):
    model = seeded(dense(forward))
    with pytest.raises(UsageError, match="no neurons of this model can be exchanged"):
        ls.align(model, model, flat(model), inputs=drawn(4, 3))


def test_operations_without_a_rule_are_named():
    model = seeded(dense(lambda m, x: m.b(torch.fft.fft(m.a(m.c(x).relu())).real), c=lambda: nn.Linear(3, 4)))
    model.a = nn.Linear(4, 5, device="meta").to_empty(device="cpu")
    with torch.no_grad():
        for p in model.a.parameters():
            p.copy_(drawn(*p.shape))
    found = ls.align(model, model, flat(model), inputs=drawn(4, 3))
    assert (found.groups, found.without_rule) == (("c",), ("_fft_r2c",))
    assert "what meets _fft_r2c" in str(found)
    without = seeded(dense(lambda m, x: m.b(torch.fft.fft(m.a(x)).real)))
    with pytest.raises(UsageError, match="without a rule, so that all they meet stays: _fft_r2c"):
        ls.align(without, without, flat(without), inputs=drawn(4, 3))


def test_a_model_that_decides_by_what_hangs_on_theta_is_refused():
    model = seeded(dense(lambda m, x: m.b(m.a(x)) if m.a(x).sum() > 0 else m.b(m.a(x).flip(1))))
    with pytest.raises(ObjectiveError, match="reads numbers that depend on its parameters"):
        ls.align(model, model, flat(model), inputs=drawn(4, 3))


def test_a_model_that_decides_by_its_data_is_seen_on_all_of_them():
    """On the first chunk the order of neurons does not matter, on the last it does."""
    model = seeded(dense(lambda m, x: m.b(m.a(x).cumsum(1) if x.max() > 5 else m.a(x).relu())))
    x = drawn(40, 3)
    plain = ls.Objective(model, F.cross_entropy, (x, torch.arange(40) % 2), chunk=10)
    assert ls.align(plain, model, flat(model)).sizes.tolist() == [5]
    x = x.clone()
    x[-1] = 9
    mixed = ls.Objective(model, F.cross_entropy, (x, torch.arange(40) % 2), chunk=10, check=False)
    with pytest.raises(UsageError, match="no neurons"):
        ls.align(mixed, model, flat(model))
    other = seeded(dense(model._forward), seed=1)
    with pytest.raises(ObjectiveError, match="the permuted network is another function"):
        ls.align(mixed, model, other, method="activations", num_examples=2)


def test_a_group_that_a_wrong_rule_lets_through_is_dropped_and_named(monkeypatch):
    monkeypatch.setitem(tracing._RULES, "cumsum", lambda call: [call.dims("self")])
    model = seeded(dense(lambda m, x: m.b(m.a(m.c(x).relu()).cumsum(1)), c=lambda: nn.Linear(3, 3)))
    found = ls.align(model, model, flat(model), inputs=drawn(4, 3))
    assert found.groups == ("c",)
    assert found.dropped == ("a: its permutations change the outputs",)
    assert "not permuted" in str(found)


@pytest.mark.parametrize("own", [False, True])
def test_a_loss_that_calls_the_model_and_only_some_parameters_in_theta(own):
    model = seeded(dense(lambda m, x: m.b(m.a(x).relu())))
    x, y = drawn(6, 3), torch.arange(6) % 2
    if own:
        objective = ls.Objective.from_loss(model, lambda m, batch: F.cross_entropy(m(batch[0]), batch[1]), [(x, y)])
        assert ls.align(objective, model, flat(model)).sizes.tolist() == [5]
    else:  # the other layer stays, so nothing of this one can move
        objective = ls.Objective(model, F.cross_entropy, (x, y), params="b*")
        with pytest.raises(UsageError, match="no neurons"):
            ls.align(objective, model, objective.theta)


BUILTIN = {
    "mlp-digits": {"hidden": [12]}, "lenet-digits": {}, "resnet-digits": {"channels": 4},
    "resnet-digits plain": {"channels": 4, "skip": False, "norm": "group"},
    "char-transformer-small": {"width": 16, "layers": 1, "heads": 2, "context": 8, "characters": 4000},
    "matrix-factorization": {}, "deep-linear": {},
    "logistic-digits": None, "quadratic": None, "two-well": None, "poly-regression": None, "noisy-linear": None,
    "constrained": None, "half-plane": None,
}  # fmt: skip


@pytest.mark.parametrize("name", BUILTIN)
def test_every_built_in_problem_is_aligned_or_has_nothing_to_align(name):
    problem = get_problem(name.split()[0], BUILTIN[name] or {})
    model, other = problem.make_model(0), problem.make_model(1)
    objective = problem.objective(model)
    if BUILTIN[name] is None:
        with pytest.raises(LandscapeError, match="no neurons of this model"):
            ls.align(objective, model, other)
        return
    found = ls.align(objective, model, other)
    assert not found.dropped
    assert found.distance < found.distance_before
    at_other = problem.objective(other, check=False)
    moved = ls.permuted_copy(at_other, found)
    assert moved.loss() == pytest.approx(at_other.loss(), rel=1e-5)
    assert not np.array_equal(found.theta, at_other.theta.numpy())
