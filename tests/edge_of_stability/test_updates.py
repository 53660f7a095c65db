"""The update of an optimizer: it is the step that it then makes, and looking at it leaves no trace."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn, optim

import landscape as ls
from landscape.errors import CheckpointError, UsageError
from landscape.optimizers import OPTIMIZERS as BY_NAME
from landscape.optimizers import make_optimizer
from tests.support.stepped import OPTIMIZERS, OwnShampoo, network, stepped, take_step


def difference(model, data, optimizer):
    """(θ before − θ after)/η of a step that is made."""
    before = torch.cat([p.detach().clone().reshape(-1) for p in model.parameters()])
    take_step(model, data, optimizer)
    after = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    return ((before - after) / optimizer.param_groups[0]["lr"]).numpy()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_update_is_the_step_that_is_then_made(name):
    objective, model, data, optimizer = stepped(name)
    update = ls.optimizer_update(objective, optimizer)
    made = difference(model, data, optimizer)
    # Muon computes in bfloat16 inside, where the last bit of a gradient may change the third digit.
    np.testing.assert_allclose(update.vector, made, rtol=0.02 if name == "Muon" else 1e-8, atol=1e-11)
    assert update.optimizer == type(optimizer).__name__
    assert update.lr == optimizer.param_groups[0]["lr"]


def everything(model, optimizer):
    """Copies of all that a look could change."""
    return copy.deepcopy(
        (
            [p.detach() for p in model.parameters()],
            [p.grad for p in model.parameters()],
            [p.requires_grad for p in model.parameters()],
            [module.training for module in model.modules()],
            optimizer.state_dict(),
            vars(optimizer).get("exponent"),
            torch.random.get_rng_state(),
        )
    )


def same(left, right):
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_look_changes_nothing_to_the_last_bit(name):
    objective, model, data, optimizer = stepped(name, dtype=torch.float32)
    take_step(model, data, optimizer)
    parameters = list(model.parameters())
    before = everything(model, optimizer)
    first, second = (ls.optimizer_update(objective, optimizer) for _ in range(2))
    assert same(before, everything(model, optimizer))
    assert all(p is q for p, q in zip(parameters, model.parameters(), strict=True))
    assert all(any(p is q for q in optimizer.state) for p in parameters if optimizer.state[p])
    np.testing.assert_array_equal(first.vector, second.vector)


def test_a_small_step_in_float32_is_not_lost_in_the_rounding_of_theta():
    """η = 1e-7: θ − ηu in float32 keeps a few bits of u; Adam's first step is the sign."""
    model, data = network(torch.float32)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    update = ls.optimizer_update(objective, optim.Adam(model.parameters(), lr=1e-7, eps=1e-30))
    np.testing.assert_allclose(np.abs(update.vector), 1.0, rtol=1e-6)
    assert update.dtype == "float64"


def test_a_class_that_insists_on_its_type_steps_in_it():
    class Particular(optim.SGD):
        @torch.no_grad()
        def step(self, closure=None):
            for p in self.param_groups[0]["params"]:
                assert p.dtype == torch.float32
                p.sub_(p.grad, alpha=self.param_groups[0]["lr"])

    model, data = network(torch.float32)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    update = ls.optimizer_update(objective, Particular(model.parameters(), lr=0.5))
    np.testing.assert_allclose(update.vector, objective.gradient(), rtol=1e-4, atol=1e-6)
    assert update.dtype == "that of the parameters"


def test_a_schedule_hooks_and_attributes_of_the_class_are_no_part_of_a_look():
    objective, model, data, optimizer = stepped("Shampoo")
    calls = []
    optimizer.register_step_pre_hook(lambda *args: calls.append("hook"))
    schedule = optim.lr_scheduler.StepLR(optimizer, 1)
    update = ls.optimizer_update(objective, optimizer)
    assert not calls
    assert schedule.last_epoch == 0
    np.testing.assert_allclose(update.vector, difference(model, data, optimizer), rtol=1e-8, atol=1e-11)
    assert calls == ["hook"]


@pytest.mark.parametrize("name", ["AdamW", "Lion", "Muon"])
def test_decoupled_decay_is_lambda_theta_and_can_be_left_out(name):
    objective, _, _, optimizer = stepped(name)
    update = ls.optimizer_update(objective, optimizer)
    np.testing.assert_allclose(update.decay, 0.1 * objective.theta, rtol=1e-6, atol=1e-9)
    bare = copy.deepcopy(optimizer.state_dict())
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    without = ls.optimizer_update(objective, optimizer)
    assert not without.has_decay
    np.testing.assert_allclose(update.without_decay, without.vector, rtol=1e-6, atol=1e-9)
    assert bare["param_groups"][0]["weight_decay"] == 0.1


@pytest.mark.parametrize("name", ["momentum", "Adam"])
def test_decay_in_the_gradient_stays_in_the_update(name):
    """Momentum and scales hold it, too, so no part of u is the decay's alone."""
    objective, _, _, optimizer = stepped(name)
    assert not ls.optimizer_update(objective, optimizer).has_decay


def test_of_a_model_the_gradient_is_the_one_it_has():
    objective, model, data, optimizer = stepped("AdamW")
    optimizer.zero_grad()
    with pytest.raises(UsageError, match="call backward"):
        ls.optimizer_update(model, optimizer)
    nn.functional.cross_entropy(model(data[0][:5]), data[1][:5]).backward()
    flat = torch.cat([p.grad.reshape(-1) for p in model.parameters()])
    by_grad, by_hand = ls.optimizer_update(model, optimizer), ls.optimizer_update(objective, optimizer, gradient=flat)
    np.testing.assert_allclose(by_grad.vector, by_hand.vector, rtol=1e-12)
    assert not np.allclose(by_grad.vector, ls.optimizer_update(objective, optimizer).vector)


def test_several_optimizers_have_their_parts_and_rates_relative_to_the_first():
    model, data = network()
    first, second = model.parameters()
    muon, adam = optim.Muon([first], lr=0.02, weight_decay=0.0), optim.AdamW([second], lr=0.04, weight_decay=0.0)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    update = ls.optimizer_update(objective, [muon, adam])
    assert update.optimizer == "Muon, AdamW"
    np.testing.assert_allclose(np.abs(update.vector[15:]), 2.0, rtol=1e-5)  # the sign, at twice the rate
    alone = ls.optimizer_update(objective, adam)
    np.testing.assert_array_equal(alone.vector[:15], 0.0)
    np.testing.assert_allclose(np.abs(alone.vector[15:]), 1.0, rtol=1e-5)
    assert "1 of 2" in str(alone)


def test_another_rate_scales_all_groups_and_is_asked_for_where_it_is_zero():
    model, data = network()
    first, second = model.parameters()
    optimizer = optim.SGD([{"params": [first], "lr": 0.0}, {"params": [second], "lr": 0.0}], lr=0.0)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    with pytest.raises(UsageError, match="pass lr="):
        ls.optimizer_update(objective, optimizer)
    update = ls.optimizer_update(objective, optimizer, lr=0.5)
    np.testing.assert_allclose(update.vector, objective.gradient(), rtol=1e-9)
    assert update.lr == 0.5


@pytest.mark.parametrize("name", ["momentum", "AdamW", "Muon", "Adagrad"])
def test_a_checkpoint_gives_what_the_living_optimizer_gave(tmp_path, name):
    objective, model, _, optimizer = stepped(name)
    living = ls.optimizer_update(objective, optimizer)
    stored = ls.load_checkpoint(ls.save_checkpoint(tmp_path, model, step=6, optimizer=optimizer))
    np.testing.assert_allclose(ls.optimizer_update(objective, stored).vector, living.vector, rtol=1e-12)


@pytest.mark.parametrize("name", ["lion", "soap", "shampoo", "sam", "muon", "polyak-sgd", "adahessian"])
def test_a_checkpoint_of_our_training_is_found_by_name(tmp_path, name):
    """With the settings that its class keeps outside the groups, such as how often a preconditioner is computed."""
    model, data = network()
    options = {"preconditioning_compute_steps": 3} if name == "shampoo" else {}
    optimizer = make_optimizer(name, model.parameters(), lr=0.01, **options)
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)

    class Closure:
        def __call__(self):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(data[0]), data[1])
            loss.backward()
            return loss.detach()

        def with_graph(self):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(data[0]), data[1])
            loss.backward(create_graph=True)
            return loss.detach()

    with torch.random.fork_rng():
        for _ in range(4):
            optimizer.step(Closure())
    config = {"optimizer": name, "options": {**BY_NAME[name].options, **options}}
    living = ls.optimizer_update(objective, optimizer)
    path = ls.save_checkpoint(tmp_path, model, step=4, optimizer=optimizer, config=config)
    found = ls.optimizer_update(objective, ls.load_checkpoint(path))
    np.testing.assert_allclose(found.vector, living.vector, rtol=1e-9, atol=1e-12)
    assert found.norm > 0


def test_a_class_of_the_users_is_made_by_hand(tmp_path):
    objective, model, _, optimizer = stepped("Shampoo")
    stored = ls.load_checkpoint(ls.save_checkpoint(tmp_path, model, step=6, optimizer=optimizer))
    with pytest.raises(UsageError, match="make=lambda parameters: OwnShampoo"):
        ls.optimizer_update(objective, stored)
    found = ls.optimizer_update(objective, stored, make=OwnShampoo)
    np.testing.assert_allclose(found.vector, ls.optimizer_update(objective, optimizer).vector, rtol=1e-12)


def test_what_has_no_update_is_refused(tmp_path):
    objective, model, _, _ = stepped("SGD")
    bare = ls.load_checkpoint(ls.save_checkpoint(tmp_path, model, step=1))
    with pytest.raises(CheckpointError, match="no optimizer state"):
        ls.optimizer_update(objective, bare)
    with pytest.raises(UsageError, match="none of the parameters"):
        ls.optimizer_update(objective, optim.SGD(network()[0].parameters(), lr=1.0))
    with pytest.raises(UsageError, match="expected an Optimizer"):
        ls.optimizer_update(objective, "adam")
    with pytest.raises(UsageError, match=r"a gradient of shape \(3,\)"):
        ls.optimizer_update(objective, optim.SGD(model.parameters(), lr=1.0), gradient=np.ones(3))
    with pytest.raises(UsageError, match="not finite"):
        ls.optimizer_update(
            objective, optim.SGD(model.parameters(), lr=1.0), gradient=np.full(objective.layout.size, np.nan)
        )
