"""An objective of ``loss(outputs(model, batch), batch)`` is the one of ``loss_fn(output, target)``, said otherwise."""

import pytest
import torch
from torch.nn import functional

import landscape as ls
from landscape.errors import ObjectiveError


@pytest.fixture
def both():
    """A classifier of pairs, and the same of batches that are mappings."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Tanh(), torch.nn.Linear(6, 4)).double()
        x, y = torch.randn(30, 5, dtype=torch.float64), torch.randint(4, (30,))
    pairs = ls.Objective(model, functional.cross_entropy, (x, y))
    mapping = ls.Objective.from_outputs(
        model,
        lambda model, batch: model(batch["x"]),
        lambda logits, batch: functional.cross_entropy(logits, batch["y"]),
        {"x": x, "y": y},
    )
    return pairs, mapping


def test_loss_gradient_and_product_are_those_of_pairs(both):
    pairs, mapping = both
    v = torch.linspace(-1, 1, pairs.layout.size, dtype=torch.float64)
    assert mapping.loss() == pytest.approx(pairs.loss(), rel=1e-14)
    assert torch.allclose(mapping.gradient(), pairs.gradient(), rtol=1e-12, atol=1e-15)
    assert torch.allclose(ls.HessianOperator(mapping) @ v, ls.HessianOperator(pairs) @ v, rtol=1e-11, atol=1e-14)


def test_gauss_newton_and_fisher_pass_through_its_outputs(both):
    pairs, mapping = both
    dense = ls.GaussNewtonOperator(pairs).dense()
    assert torch.allclose(ls.GaussNewtonOperator(mapping).dense(), dense, rtol=1e-10, atol=1e-14)
    fisher = ls.FisherOperator(mapping, kind="exact", likelihood="categorical").dense()
    assert torch.allclose(fisher, dense, rtol=1e-9, atol=1e-13)  # of a softmax the two are one


def test_normalised_logits_are_those_of_pairs(both):
    pairs, mapping = (ls.logit_normalized(objective) for objective in both)
    tripled = mapping.theta
    tripled[-28:] *= 3  # weight and bias of the last layer: 4 × 6 + 4
    assert mapping.loss() == pytest.approx(pairs.loss(), rel=1e-14)
    assert mapping.loss(tripled) == pytest.approx(pairs.loss(), rel=1e-12)
    assert ls.logit_normalized(mapping) is mapping


def test_another_way_to_the_outputs_is_another_question(both):
    _, mapping = both
    parts = mapping.module.functions
    data = {"x": torch.zeros(3, 5, dtype=torch.float64), "y": torch.tensor([0, 1, 2])}

    def halved(model, batch):
        return model(batch["x"]) / 2

    one = ls.Objective.from_outputs(mapping.module.model, parts[1], parts[0], data)
    other = ls.Objective.from_outputs(mapping.module.model, halved, parts[0], data)
    assert one.digest() != other.digest()


def test_a_loss_of_the_model_alone_says_which_way_there_is():
    with torch.random.fork_rng(devices=[]):
        model = torch.nn.Linear(2, 3)
    data = {"x": torch.eye(2), "y": torch.tensor([0, 2])}
    objective = ls.Objective.from_loss(model, lambda m, b: functional.cross_entropy(m(b["x"]), b["y"]), data)
    with pytest.raises(ObjectiveError, match="from_outputs"):
        ls.GaussNewtonOperator(objective) @ objective.theta
