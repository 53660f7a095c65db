"""Inputs moved against a model: on linear models the worst of the ball in closed form, and nothing else is touched."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape.errors import UsageError
from landscape.problems import Problem, get_problem
from landscape.problems.adversary import attacked


def linear(norm_layer=None):
    """Two classes by the sign of a linear score, 5 numbers in; its examples."""
    generator = torch.Generator().manual_seed(3)
    x, y = torch.randn(12, 5, generator=generator), torch.randint(2, (12,), generator=generator)

    def build():
        layer = nn.Linear(5, 2)
        return nn.Sequential(layer) if norm_layer is None else nn.Sequential(layer, norm_layer, nn.Dropout(0.5))

    return Problem(build=build, loss_fn=functional.cross_entropy, train=(x, y))


@pytest.mark.parametrize("steps", [1, 40])
@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_the_worst_of_a_ball_for_a_linear_model_is_its_margin_less_r_times_the_dual_norm(norm, dual, steps):
    problem, r = linear(), 0.3
    model = problem.make_model(0)
    x, y = problem.train
    moved, same = attacked(problem, model, (x, y), norm=norm, radius=r, steps=steps)
    w = (model[0].weight[1] - model[0].weight[0]).detach()
    sign = 2.0 * y - 1

    def margins(inputs):
        scores = model(inputs).detach()
        return sign * (scores[:, 1] - scores[:, 0])

    assert torch.equal(same, y)
    assert torch.allclose(margins(moved), margins(x) - r * w.norm(p=dual), atol=1e-5)
    assert float((moved - x).norm(p=torch.inf if norm == "linf" else 2, dim=1).max()) <= r * (1 + 1e-5)


def test_more_steps_find_no_lower_loss_on_a_network_and_all_stay_in_the_ball():
    problem = get_problem("mlp-digits", {"hidden": [20]})
    model = problem.make_model(0)
    examples = tuple(part[:50] for part in problem.train)
    losses = [problem.mean_loss(model, examples).item()]
    for steps in (1, 5, 20):
        moved = attacked(problem, model, examples, norm="linf", radius=0.2, steps=steps)
        losses.append(problem.mean_loss(model, moved).item())
        assert float((moved[0] - examples[0]).abs().max()) <= 0.2 + 1e-6
    assert losses == sorted(losses)


def test_gradients_running_statistics_and_modes_are_left_as_they_were():
    problem = linear(nn.BatchNorm1d(2))
    model = problem.make_model(0).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    attacked(problem, model, problem.train, norm="l2", radius=1.0, steps=3)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_accuracy_under_attack_falls_with_its_radius_from_the_accuracy_itself():
    found = []
    for attack in (1e-9, 0.3, 3.0):
        problem = get_problem("logistic-digits") if attack == 0 else get_problem("mlp-digits", {"attack": attack})
        model = problem.make_model(0)
        found.append(next(iter(problem.measures(model, "test").values())))
    x, y = problem.test
    assert found[0] == pytest.approx(float((model(x).argmax(1) == y).double().mean()))
    assert found[0] > found[1] > found[2]
    assert get_problem("mlp-digits").measures is None


def test_data_without_inputs_to_move_are_refused():
    tokens = get_problem("char-transformer-small", {"characters": 2000, "context": 8})
    with pytest.raises(UsageError, match="leave adversary out for tokens"):
        attacked(tokens, tokens.make_model(0), tokens.train, norm="linf", radius=0.1, steps=1)
