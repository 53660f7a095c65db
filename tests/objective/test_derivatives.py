"""A loss whose derivatives by autograd are not its own is refused; one where they only look odd is measured."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from tests.support.differences import hessian_by_differences, off


def small(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))


def rows(seed=1):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.randn(20, 4), torch.randint(3, (20,))


# --- parameters read past the model -----------------------------------------------------------------------------------


def decayed_list(model):
    held = list(model.parameters())
    return lambda output, target: F.cross_entropy(output, target) + sum((p**2).sum() for p in held)


def decayed_groups(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    held = optimizer.param_groups
    return lambda output, target: (
        F.cross_entropy(output, target) + sum((p**2).sum() for group in held for p in group["params"])
    )


def decayed_names(model):
    held = dict(model.named_parameters())
    return lambda output, target: F.cross_entropy(output, target) + (held["0.weight"] @ held["0.weight"].T).det()


@pytest.mark.parametrize("make", [decayed_list, decayed_groups, decayed_names])
def test_a_loss_over_captured_parameters_is_refused_with_the_way_out(make):
    model = small()
    with pytest.raises(ls.ObjectiveError, match=r"past the model: 0\.weight.*model\.parameters\(\)"):
        ls.Objective(model, make(model), rows())


class ByReference(nn.Module):
    """Its forward reads a weight through a plain list, where no one can put another in its place."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
        self.kept = [self.first.weight]

    def forward(self, x):
        return self.last(torch.tanh(self.first(x) + F.linear(x, self.kept[0])))


def test_a_model_that_reads_its_weight_through_a_list_is_refused():
    with torch.random.fork_rng():
        model = ByReference()
    with pytest.raises(ls.ObjectiveError, match=r"past the model: first\.weight\."):
        ls.Objective(model, F.cross_entropy, rows())
    assert ls.Objective(model, F.cross_entropy, rows(), params="last.*").layout.size == 15  # then it is a constant


def test_a_loss_that_asks_the_captured_model_for_its_parameters_is_right():
    model, (x, y) = small(), rows()

    def loss(output, target):
        return F.cross_entropy(output, target) + sum((p**2).sum() for p in model.parameters())

    truth = hessian_by_differences(model, lambda m: F.cross_entropy(m(x.double()), y))
    truth += 2 * torch.eye(len(truth))
    assert off(ls.HessianOperator(ls.Objective(model, loss, (x, y))).dense(), truth) < 1e-5


# --- gradients that are not those of the loss -------------------------------------------------------------------------


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


class Forces(nn.Module):
    """Energy and forces; the graph of the forces only in training mode."""

    def __init__(self, create_graph=None):
        super().__init__()
        self.net, self.create_graph = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1)), create_graph

    def forward(self, x):
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            energy = self.net(x)
            graph = self.training if self.create_graph is None else self.create_graph
            forces = torch.autograd.grad(energy.sum(), x, create_graph=graph, retain_graph=True)[0]
        return energy, forces


def of_forces(output, target):
    return (output[0] ** 2).mean() + ((output[1] - target) ** 2).mean()


class Through(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.net, self.how = small(), how

    def forward(self, x):
        return self.how(self.net(x))


def straight_through(z):
    return z + (torch.round(4 * z) / 4 - z).detach()


def reversed_gradient(z):
    return Scaled.apply(z, -1.0)


def scaled_by_hook(z):
    if z.requires_grad:
        z.register_hook(lambda g: 0.5 * g)
    return z * 1


def half_detached(z):
    return z * torch.sigmoid(z).detach()


@pytest.mark.parametrize("how", [straight_through, reversed_gradient, scaled_by_hook, half_detached])
def test_gradients_that_are_not_those_of_the_loss_are_refused(how):
    with pytest.raises(ls.ObjectiveError, match="gradient is not that of the loss.*losses by"):
        ls.Objective(Through(how), F.cross_entropy, rows())


def test_forces_without_their_graph_are_refused_and_with_it_measured():
    x = rows()[0]
    target = torch.ones_like(x)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Forces()
    with pytest.raises(ls.ObjectiveError, match=r"gradient is not that of the loss.*create_graph=True"):
        ls.Objective(model, of_forces, (x, target))
    model.create_graph = True
    truth = hessian_by_differences(model, lambda m: of_forces(m(x.double()), target.double()))
    assert off(ls.HessianOperator(ls.Objective(model, of_forces, (x, target))).dense(), truth) < 1e-5


def test_relu_networks_at_zero_inputs_are_no_wrong_gradients():
    """Exactly on a kink the difference of losses is the mean of two slopes, and autograd takes one of them."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
        nn.init.zeros_(model[0].bias)
    x, y = rows()
    ls.Objective(model, F.cross_entropy, (x * (torch.arange(20) % 2)[:, None], y))


# --- not a number is never agreement ----------------------------------------------------------------------------------


def proximal(start, power=2):
    def loss(model, batch):
        apart = sum(torch.norm(p - q.to(p)) ** power for p, q in zip(model.parameters(), start, strict=True))
        return F.cross_entropy(model(batch[0]), batch[1]) + apart

    return loss


def test_a_squared_norm_at_zero_is_measured_by_differences():
    """‖θ − θ₀‖² at θ₀ has the Hessian 2I; autograd makes 0/0 of it."""
    model, (x, y) = small(), rows()
    start = [p.detach().clone() for p in model.parameters()]
    objective = ls.Objective.from_loss(model, proximal(start), (x, y))
    truth = hessian_by_differences(model, lambda m: F.cross_entropy(m(x.double()), y))
    truth += 2 * torch.eye(len(truth))
    eigs = ls.top_eigenpairs(ls.HessianOperator(objective), k=2)
    assert eigs.values[0] == pytest.approx(float(torch.linalg.eigvalsh(truth)[-1]), rel=1e-3)


def equal_singular_values(output, target):
    return F.cross_entropy(output, target) + torch.linalg.svd(torch.eye(3).to(output) + 0 * output.sum())[0].sum()


def root_at_zero(output, target):
    return F.cross_entropy(output, target) + torch.sqrt((output - output.detach()).square().sum())


def log_in_the_other_branch(output, target):
    gone = torch.where(output > 1e9, torch.log(output - output), output)
    return F.cross_entropy(gone, target)


def kinked_norm(model, batch):
    start = [p.detach().clone() for p in model.parameters()]
    return proximal(start, power=1)(model, batch)


@pytest.mark.parametrize("loss_fn", [equal_singular_values, root_at_zero, log_in_the_other_branch])
def test_derivatives_that_are_not_numbers_are_refused_with_their_causes(loss_fn):
    with pytest.raises(ls.ObjectiveError, match=r"not a number at θ.*sqrt\(\) of exactly zero"):
        ls.Objective(small(), loss_fn, rows())


def test_a_true_cone_has_no_hessian_and_is_refused():
    model, (x, y) = small(), rows()
    start = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(ls.ObjectiveError, match="not a number at θ"):
        ls.Objective.from_loss(model, proximal(start, power=1), (x, y))


# --- errors of the caller's own ---------------------------------------------------------------------------------------


def test_an_error_of_the_callers_own_is_one_line_with_its_place_and_cause():
    def loss(output, target):
        return output[:, 7].sum()

    with pytest.raises(ls.ObjectiveError, match=r"raised IndexError: index 7 .*test_derivatives\.py:\d+") as seen:
        ls.Objective(small(), loss, rows())
    assert isinstance(seen.value.__cause__, IndexError)


def test_a_constant_in_another_dtype_is_named_with_the_way_out():
    scale = torch.ones(3, 3)

    with pytest.raises(ls.ObjectiveError, match=r"raised RuntimeError: .*constant\.to\(output\)"):
        ls.Objective(
            small(), lambda output, target: F.cross_entropy(output @ scale, target), rows(), dtype=torch.float64
        )


MARGINS = [20.0, 28.0, 34.0, 50.0]


def fitted(margin, how=None, loss=F.cross_entropy):
    """Twelve examples of three classes, each ``margin`` nearer to its own: in float64 1 + exp(-37) is 1."""
    generator = torch.Generator().manual_seed(0)
    x = torch.eye(3, dtype=torch.float64).repeat(4, 1)
    x += 0.1 * torch.rand(x.shape, dtype=torch.float64, generator=generator)
    with torch.random.fork_rng():
        model = Through(how or (lambda z: z))
        model.net = nn.Linear(3, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        model.net.weight.copy_(margin * torch.eye(3))
    return ls.Objective(model, loss, (x, torch.arange(3).repeat(4)))


@pytest.mark.parametrize("margin", MARGINS)
def test_a_classifier_whose_losses_are_rounding_passes(margin):
    assert fitted(margin).loss() < 3 * math.exp(-0.85 * margin)


@pytest.mark.parametrize("how", [straight_through, reversed_gradient, scaled_by_hook, half_detached])
@pytest.mark.parametrize("margin", MARGINS)
def test_a_wrong_gradient_is_refused_where_losses_are_rounding_too(margin, how):
    with pytest.raises(ls.ObjectiveError, match="gradient is not that of the loss"):
        fitted(margin, how)


@pytest.mark.parametrize("margin", MARGINS)
def test_a_sum_of_losses_that_are_rounding_or_zero_is_no_mean(margin):
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples"):
        fitted(margin, loss=lambda output, target: F.cross_entropy(output, target, reduction="sum"))


def test_a_model_that_cannot_be_evaluated_far_off_is_refused_for_its_gradient_all_the_same():
    def only_near(z):
        if z.abs().max() > 60:
            raise ValueError("too far")
        return scaled_by_hook(z)

    with pytest.raises(ls.ObjectiveError, match="gradient is not that of the loss"):
        fitted(50.0, only_near)
