"""Random directions: scaled filter by filter as published, drawn from streams of their own."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import UsageError
from landscape.geometry import random_direction, random_plane
from landscape.objective import Objective


class Net(nn.Module):
    """Every kind of tensor: convolutions both ways, grouped, norms of all sorts, dense, embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.batch = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 6, 2, groups=2)
        self.group = nn.GroupNorm(2, 6)
        self.fc = nn.Linear(6, 5)
        self.norm = nn.LayerNorm(5)
        self.embed = nn.Embedding(7, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, images: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        x = self.group(self.up(self.batch(self.conv(images)))).mean((2, 3))
        return self.head(self.norm(torch.tanh(self.fc(x))) + self.embed(words))


def net_objective(dtype: torch.dtype = torch.float64) -> Objective:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        images, words, y = torch.randn(6, 1, 4, 4), torch.randint(0, 7, (6,)), torch.randint(0, 3, (6,))
        return Objective(Net(), nn.functional.cross_entropy, ((images, words), y), dtype=dtype, check=False)


def plain_objective(build: Callable[[], nn.Module], **options: object) -> Objective:
    """For questions about θ alone: data and loss do not matter."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = build()
    return Objective.from_loss(model, lambda m, b: b.sum(), torch.ones(1), check=False, dtype=torch.float64, **options)


def named(objective: Objective, vector: torch.Tensor) -> dict[str, torch.Tensor]:
    return objective.layout.unflatten(vector)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_each_filter_of_the_direction_is_as_long_as_the_filter_of_theta(dtype):
    objective = net_objective(dtype)
    d, w = (named(objective, v) for v in (random_direction(objective, seed=3), objective.theta))
    eps = torch.finfo(dtype).eps
    for name in ("conv.weight", "fc.weight", "embed.weight", "head.weight"):
        torch.testing.assert_close(d[name].flatten(1).norm(dim=1), w[name].flatten(1).norm(dim=1), rtol=8 * eps, atol=0)
    assert d["conv.weight"].dtype == dtype


def test_a_filter_of_a_transposed_convolution_is_what_makes_one_output_channel():
    """Weight (4, 3, 2, 2) in two groups: outputs 0-2 see inputs 0-1, outputs 3-5 see inputs 2-3."""
    objective = net_objective()
    d, w = (named(objective, v)["up.weight"] for v in (random_direction(objective), objective.theta))
    for group, output in itertools.product(range(2), range(3)):
        inputs = slice(2 * group, 2 * group + 2)
        torch.testing.assert_close(d[inputs, output].norm(), w[inputs, output].norm(), rtol=1e-14, atol=0)


@pytest.mark.parametrize(
    ("ignore", "zero"),
    [
        ("bias,norm", {"conv.bias", "up.bias", "fc.bias", "head.bias"} | {f"{n}.{p}" for n in ("batch", "group", "norm")
                                                                        for p in ("weight", "bias")}),
        ("bias", {"conv.bias", "up.bias", "fc.bias", "head.bias"}),
        ("norm", {f"{n}.{p}" for n in ("batch", "group", "norm") for p in ("weight", "bias")}),
        (None, set()),
    ],
)  # fmt: skip
@pytest.mark.parametrize("normalize", ["filter", "layer", "model", None])
def test_exactly_what_is_ignored_is_zero(ignore, zero, normalize):
    objective = net_objective()
    # Biases of norm layers start at zero, and a filter that is zero in θ is zero in any normalised direction.
    theta = objective.theta + 0.1
    d = named(objective, random_direction(objective, ignore=ignore, normalize=normalize, theta=theta))
    assert {name for name, tensor in d.items() if not tensor.any()} == zero


def test_vectors_that_are_not_ignored_are_one_filter_each():
    objective = net_objective()
    theta = objective.theta + 0.1
    d, w = named(objective, random_direction(objective, ignore=None, theta=theta)), named(objective, theta)
    for name in ("fc.bias", "norm.weight", "batch.bias"):
        torch.testing.assert_close(d[name].norm(), w[name].norm(), rtol=1e-14, atol=0)
        assert len(set(d[name].abs().tolist())) == len(d[name])


def test_norm_layers_that_a_model_defines_itself_are_known_by_name():
    class LlamaRMSNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

    objective = plain_objective(lambda: nn.Sequential(nn.Linear(3, 4, bias=False), LlamaRMSNorm()))
    assert not named(objective, random_direction(objective, ignore="norm"))["1.weight"].any()
    assert named(objective, random_direction(objective, ignore="bias"))["1.weight"].any()


def test_layer_and_model_normalisation_match_whole_tensors_and_all_of_theta():
    objective = net_objective()
    d, w = (named(objective, v) for v in (random_direction(objective, normalize="layer"), objective.theta))
    for name in ("conv.weight", "up.weight", "fc.weight"):
        torch.testing.assert_close(d[name].norm(), w[name].norm(), rtol=1e-14, atol=0)
    assert not torch.allclose(d["fc.weight"].norm(dim=1), w["fc.weight"].norm(dim=1), rtol=1e-3)
    whole = random_direction(objective, normalize="model")
    torch.testing.assert_close(whole.norm(), objective.theta.norm(), rtol=1e-14, atol=0)


def test_a_zero_filter_stays_zero_without_dividing_by_zero():
    objective = net_objective()
    theta = objective.theta
    named(objective, theta)["fc.weight"][2] = 0
    d = random_direction(objective, theta=theta)
    rows = named(objective, d)["fc.weight"]
    assert d.isfinite().all()
    assert rows.any(dim=1).tolist() == [True, True, False, True, True]


def test_entries_are_standard_normal_where_nothing_is_normalised():
    """10⁵ draws: mean, variance and the share beyond 2 within five standard errors; uniform [0, 1) fails all three."""
    objective = plain_objective(lambda: nn.Linear(1000, 100, bias=False))
    d = random_direction(objective, normalize=None, seed=1)
    assert abs(float(d.mean())) < 5 / 1e5**0.5
    assert abs(float(d.var()) - 1) < 5 * (2 / 1e5) ** 0.5
    assert abs(float((d.abs() > 2).double().mean()) - 0.0455) < 5 * (0.0455 * 0.9545 / 1e5) ** 0.5


def test_directions_of_one_seed_are_independent_streams():
    objective = plain_objective(lambda: nn.Linear(200, 50, bias=False))
    family = [random_direction(objective, normalize=None, seed=s, index=i) for s in range(4) for i in range(4)]
    V = torch.stack(family, dim=1)
    cosines = torch.corrcoef(V.T) - torch.eye(16)
    assert float(cosines.abs().max()) < 5 / 1e4**0.5  # 120 pairs of 10⁴ entries
    assert torch.equal(random_direction(objective, normalize=None, seed=2, index=3), family[11])


def test_the_plane_is_directions_0_and_1_each_normalised_and_not_made_orthogonal():
    objective = net_objective()
    plane = random_plane(objective, seed=5)
    assert plane.shape == (objective.layout.size, 2)
    for index in (0, 1):
        assert torch.equal(plane[:, index], random_direction(objective, seed=5, index=index))
    assert abs(float(plane[:, 0] @ plane[:, 1])) > 1e-6


def test_the_numbers_do_not_depend_on_dtype():
    one, two = (random_plane(net_objective(dtype)).double() for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(one, two, rtol=1e-6, atol=1e-7)


def test_global_generators_and_the_model_are_untouched():
    objective = net_objective()
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy(), objective.theta  # noqa: NPY002
    random_plane(objective, seed=7)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[2], objective.theta)


def test_a_tied_weight_is_one_tensor_with_the_rows_it_has():
    def build() -> nn.Module:
        model = nn.ModuleDict({"embed": nn.Embedding(7, 5), "head": nn.Linear(5, 7)})
        model["head"].weight = model["embed"].weight
        return model

    objective = plain_objective(build)
    d, w = named(objective, random_direction(objective)), named(objective, objective.theta)
    assert set(d) == {"embed.weight", "head.bias"}
    torch.testing.assert_close(d["embed.weight"].norm(dim=1), w["embed.weight"].norm(dim=1), rtol=1e-14, atol=0)
    assert not d["head.bias"].any()


def test_a_vector_tied_into_a_norm_layer_counts_as_one_of_its_parameters():
    def build() -> nn.Module:
        model = nn.ModuleDict({"fc": nn.Linear(3, 4, bias=False), "scale": nn.PReLU(4), "norm": nn.LayerNorm(4)})
        model["scale"].weight = model["norm"].weight
        return model

    objective = plain_objective(build)
    assert objective.layout.names[1] == "scale.weight"
    assert not named(objective, random_direction(objective, ignore="norm"))["scale.weight"].any()


def test_frozen_parameters_are_not_in_the_direction():
    objective = plain_objective(lambda: nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), params="1.*")
    assert random_direction(objective).shape == (10,)


def test_a_model_that_is_one_vector_has_directions():
    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position = nn.Parameter(torch.tensor([3.0, 4.0]))

    d = random_direction(plain_objective(Point))
    torch.testing.assert_close(float(d.norm()), 5.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"normalize": "row"}, "normalize='row' is not one of"),
        ({"ignore": "biasbn"}, "ignore='biasbn' is not one of"),
        ({"seed": None}, "seed=None must be a whole number"),
        ({"seed": -1}, "seed=-1 must be a whole number of at least 0"),
        ({"index": -1}, "index=-1 must be a whole number of at least 0"),
        ({"theta": torch.zeros(10)}, "zero direction"),
        ({"theta": torch.zeros(9)}, r"θ has shape \(10,\)"),
    ],
)
def test_what_cannot_be_answered_is_refused(options, said):
    objective = plain_objective(lambda: nn.Linear(4, 2))
    with pytest.raises(UsageError, match=said):
        random_direction(objective, **options)


def test_a_theta_that_is_all_ignored_is_refused_with_the_way_out():
    objective = plain_objective(lambda: nn.Linear(4, 2), params="bias")
    with pytest.raises(UsageError, match="leaves nothing of θ to perturb.*ignore=None"):
        random_direction(objective)
