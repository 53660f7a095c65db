"""Problems: determined by name and config, learnable, with the data and layers they promise."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from landscape.problems import PROBLEMS, get_problem
from landscape.problems.base import half_squared_error
from tests.support.problems import forget_cached_data

OFFLINE = [
    "lenet-digits", "mlp-digits", "logistic-digits", "resnet-digits", "quadratic", "two-well", "poly-regression",
    "noisy-linear", "constrained", "half-plane", "matrix-factorization", "deep-linear", "char-transformer-small",
    "gan", "lazy-digits", "transfer-digits", "rotated-digits",
]  # fmt: skip


@pytest.mark.parametrize("name", OFFLINE)
def test_name_and_config_determine_tensors_and_initial_weights(name):
    first = get_problem(name)
    forget_cached_data()
    second = get_problem(name, json.loads(json.dumps(first.config)))
    for a, b in zip((*first.train, *first.test), (*second.train, *second.test), strict=True):
        assert torch.equal(a, b)
    one, again, other = (dict(p.make_model(s).named_parameters()) for p, s in ((first, 0), (second, 0), (second, 1)))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert not all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", [name for name in OFFLINE if name != "gan"])  # a game, whose field is no gradient
def test_objective_passes_preflight_and_equals_the_mean_loss(name):
    problem = get_problem(name)
    few = {split: tuple(t[:40] for t in problem.data(split)) for split in ("train", "test")}
    problem = replace(problem, **few)
    model = problem.make_model(3)
    for split in ("train", "test"):
        objective = problem.objective(model, split=split, dtype=torch.float64)
        inputs, targets = problem.data(split)
        twin = problem.make_model(3).double()
        targets = targets.double() if targets.is_floating_point() else targets
        inputs = inputs.double() if inputs.is_floating_point() else inputs
        assert objective.loss() == pytest.approx(problem.mean_loss(twin.eval(), (inputs, targets)).item(), rel=1e-12)


def test_digits_are_split_by_class_without_overlap_and_standardised():
    problem = get_problem("mlp-digits")
    (x, y), (u, v) = problem.train, problem.test
    assert (len(y), len(v)) == (1257, 540)
    share = torch.bincount(v).double() / torch.bincount(torch.cat([y, v]))
    assert (share - 0.3).abs().max() < 0.006
    assert abs(float(x.double().mean())) < 1e-6
    assert float(x.double().std()) == pytest.approx(1, abs=1e-5)
    assert len(torch.unique(torch.cat([x, u]).flatten(1), dim=0)) == 1797
    other = get_problem("mlp-digits", {"split_seed": 1})
    assert not torch.equal(other.train[1], y)
    assert torch.equal(get_problem("mlp-digits", {"num_train": 50}).train[0], x[:50])


def test_lenet_has_the_layers_and_the_count_of_the_paper_s_dense_variant():
    problem = get_problem("lenet-digits")
    model = problem.make_model(0)
    assert [name for name, _ in model.named_children()] == ["conv1", "conv2", "fc1", "fc2", "fc3"]
    assert sum(p.numel() for p in model.parameters()) == 61_706
    assert problem.train[0].shape == (1257, 1, 32, 32)
    # bilinear resizing of 8 × 8 by four keeps the mean of each image's inner part, and the image itself up to a scale
    small = get_problem("mlp-digits").train[0]
    back = functional.avg_pool2d(problem.train[0], 4)
    assert torch.corrcoef(torch.stack([back.flatten(), small.flatten()]))[0, 1] > 0.97


def test_half_squared_error_is_half_the_sum_over_outputs_mean_over_examples():
    output, target = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([1, 0])
    assert float(half_squared_error(output, target)) == (0.5 * (1 + 1) + 0.5 * 1) / 2


def test_l2_adds_its_multiple_of_the_identity_to_the_weights_hessian():
    plain, ridge = (get_problem("logistic-digits", {"l2": l2}) for l2 in (0.0, 0.25))
    v = torch.randn(650, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    difference = [p.objective(p.make_model(0), dtype=torch.float64, check=False).hvp(v) for p in (plain, ridge)]
    weights = torch.cat([torch.ones(640), torch.zeros(10)]).double()
    assert torch.allclose(difference[1] - difference[0], 0.25 * weights * v, atol=1e-12)


def test_every_registered_problem_is_covered_here():
    # The large transformer is the small one with other settings.
    assert set(PROBLEMS) == {*OFFLINE, "char-transformer", "lenet-mnist", "mlp-mnist", "softmax-mnist"}
