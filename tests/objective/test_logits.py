"""Normalised logits: what a factor on the last layer can no longer change, and which losses have logits at all."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ObjectiveError
from landscape.objective import Objective, logit_normalized
from tests.support.landscapes import DOUBLE, built, draw

X, Y = draw(20, 5, seed=4), torch.arange(20) % 3


def network(last: int = 3) -> nn.Sequential:
    return built(lambda: nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, last)), seed=2).double()


def times(model: nn.Sequential, factor: float) -> nn.Sequential:
    """The same predictions with the logits times a factor."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model[-1].weight *= factor
        model[-1].bias *= factor
    return model


def cross_entropy_of(model: nn.Sequential, **options) -> Objective:
    return Objective(model, nn.functional.cross_entropy, (X, Y), **options)


@pytest.mark.parametrize("factor", [3.0, 1e-3, 1e6])
def test_a_factor_on_the_last_layer_leaves_the_loss_of_normalised_logits_and_not_the_plain_one(factor):
    one, other = (cross_entropy_of(model) for model in (network(), times(network(), factor)))
    assert logit_normalized(other).loss() == pytest.approx(logit_normalized(one).loss(), rel=1e-14)
    assert abs(other.loss() - one.loss()) > 0.05


def test_the_loss_is_that_of_centred_logits_of_norm_one():
    """Written out in NumPy, example by example."""
    model = network()
    losses = []
    for z, label in zip(model(X).detach().numpy(), Y, strict=True):
        unit = (z - z.mean()) / np.linalg.norm(z - z.mean())
        losses.append(np.log(np.exp(unit).sum()) - unit[label])
    assert logit_normalized(cross_entropy_of(model)).loss() == pytest.approx(np.mean(losses), rel=1e-14)


def test_the_gradient_is_orthogonal_to_the_last_layer_and_the_plain_one_is_not():
    """Along a ↦ (a·W, a·b) of the last layer the loss is constant."""
    objective = cross_entropy_of(network())
    along = torch.zeros_like(objective.theta)
    along[-21:] = objective.theta[-21:]  # 3 × 6 weights and 3 biases
    for asked, level in ((logit_normalized(objective), True), (objective, False)):
        gradient = asked.gradient()
        assert (abs(float(gradient @ along)) <= 1e-14 * float(gradient.norm() * along.norm())) is level


def test_the_hessian_is_that_of_the_composed_function():
    """Against torch's own dense Hessian of the formula on flat parameters."""
    model = network()
    objective = logit_normalized(cross_entropy_of(model))

    def composed(theta: torch.Tensor) -> torch.Tensor:
        w1, b1, w2, b2 = theta[:30].view(6, 5), theta[30:36], theta[36:54].view(3, 6), theta[54:]
        z = torch.tanh(X @ w1.T + b1) @ w2.T + b2
        z = z - z.mean(1, keepdim=True)
        return nn.functional.cross_entropy(z / z.norm(dim=1, keepdim=True), Y)

    truth = torch.autograd.functional.hessian(composed, objective.theta)
    found = ls.HessianOperator(objective).dense()
    assert float((found - truth).norm()) <= 1e-12 * float(truth.norm())


@pytest.mark.parametrize("chunk", [1, 7, 20])
def test_cutting_the_data_changes_nothing_beyond_rounding(chunk):
    one = logit_normalized(cross_entropy_of(network(), chunk=chunk))
    whole = logit_normalized(cross_entropy_of(network(), chunk=None))
    assert one.loss() == pytest.approx(whole.loss(), rel=1e-14)
    assert torch.allclose(one.gradient(), whole.gradient(), rtol=1e-12, atol=1e-16)
    assert torch.allclose(logit_normalized(whole).gradient(), whole.gradient())


class Unit(nn.Module):
    """A model that normalises its logits by itself."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.model(x)
        z = z - z.mean(1, keepdim=True)
        return z / z.norm(dim=1, keepdim=True)


def test_logits_that_are_normalised_already_stay_as_they_are():
    objective = Objective(Unit(network()), nn.functional.cross_entropy, (X, Y))
    again = logit_normalized(objective)
    assert again.loss() == pytest.approx(objective.loss(), rel=1e-14)
    assert torch.allclose(again.gradient(), objective.gradient(), rtol=1e-10, atol=1e-14)
    assert logit_normalized(again) is again


def test_it_is_another_question_and_says_so():
    objective = cross_entropy_of(network())
    normalised = logit_normalized(objective)
    assert normalised.digest() != objective.digest()
    assert "cross_entropy of normalised logits" in repr(normalised)


def test_gauss_newton_and_fisher_are_those_of_the_normalised_model():
    objective = logit_normalized(cross_entropy_of(network()))
    by_hand = cross_entropy_of(Unit(network()))
    for kind in (ls.GaussNewtonOperator, ls.FisherOperator):
        assert torch.allclose(kind(objective).dense(), kind(by_hand).dense(), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_very_small_and_very_large_logits_have_a_direction_too(size, dtype):
    """Their squares leave the range of float32."""
    model = built(lambda: nn.Linear(5, 3, bias=False)).double()
    usual, extreme = model.weight.detach().clone().ravel(), size * model.weight.detach().ravel()
    objective = logit_normalized(cross_entropy_of(model, dtype=dtype))
    assert objective.loss(extreme) == pytest.approx(objective.loss(usual), rel=1e-6)


def test_where_all_logits_are_equal_the_loss_is_log_c_and_nothing_is_divided_by_zero():
    objective = logit_normalized(cross_entropy_of(network()))
    for theta in (torch.zeros(57), torch.cat([torch.zeros(54), 0.1 * torch.ones(3)])):
        loss, gradient = objective.loss_and_gradient(theta)
        assert loss == pytest.approx(np.log(3))
        assert not bool(gradient.any())
        assert bool(objective.hvp(torch.ones(57), theta).isfinite().all())


class Pixels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


def test_classes_of_pixels_lie_along_the_second_dimension():
    """Outputs (N, 4, 5, 5), where cross-entropy reads classes along dimension 1, for each pixel by itself."""
    model = built(Pixels).double()
    images, labels = draw(3, 1, 5, 5), torch.arange(75).reshape(3, 5, 5) % 4
    found = logit_normalized(Objective(model, nn.functional.cross_entropy, (images, labels))).loss()
    z = model(images).detach().movedim(1, -1).reshape(-1, 4)
    z = z - z.mean(1, keepdim=True)
    assert found == pytest.approx(float(nn.functional.cross_entropy(z / z.norm(dim=1)[:, None], labels.reshape(-1))))


def test_classes_of_tokens_lie_along_the_last_dimension():
    """Outputs (N, T, V), which the loss flattens."""

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    model = built(lambda: nn.Linear(5, 6)).double()
    x, y = draw(8, 4, 5), torch.arange(32).reshape(8, 4) % 6
    found = logit_normalized(Objective(model, loss, (x, y))).loss()
    z = model(x).detach().reshape(-1, 6)
    z = z - z.mean(1, keepdim=True)
    assert found == pytest.approx(float(nn.functional.cross_entropy(z / z.norm(dim=1)[:, None], y.flatten())))


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(label_smoothing=0.1), nn.functional.multi_margin_loss])
def test_other_losses_of_differences_of_scores_have_logits_too(loss):
    one, other = (Objective(model, loss, (X, Y), check=False) for model in (network(), times(network(), 3.0)))
    assert logit_normalized(other).loss() == pytest.approx(logit_normalized(one).loss(), rel=1e-14)


class Named(nn.Module):
    """Returns its logits in a mapping."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.inner(x)}


def squared(out: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return (out - nn.functional.one_hot(labels, 3)).square().sum(1).mean()


REFUSED = {
    "squared error": (network, squared, Y, "no loss of logits"),
    "log-probabilities": (
        lambda: nn.Sequential(*network(), nn.LogSoftmax(1)), nn.functional.nll_loss, Y, "no loss of logits",
    ),
    "one logit": (
        lambda: network(1), nn.functional.binary_cross_entropy_with_logits, (Y > 0).double()[:, None],
        "no loss of logits",
    ),
    "two classes": (lambda: network(2), nn.functional.cross_entropy, Y % 2, "at least three classes"),
    "a mapping": (Named, lambda out, y: nn.functional.cross_entropy(out["logits"], y), Y, "returns a dict"),
    "no dimension of classes": (
        lambda: nn.Sequential(*network(1), nn.Flatten(0)), nn.functional.mse_loss, Y.double(),
        "no dimension of classes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_loss_that_has_no_logits_is_refused_with_what_was_seen(case):
    build, loss, targets, said = REFUSED[case]
    with pytest.raises(ObjectiveError, match=said):
        logit_normalized(Objective(build(), loss, (X, targets)))


def test_an_objective_of_model_and_batch_does_not_say_where_the_logits_are():
    own = Objective.from_loss(network(), lambda m, b: nn.functional.cross_entropy(m(b[0]), b[1]), (X, Y))
    with pytest.raises(ObjectiveError, match="does not say where the logits are"):
        logit_normalized(own)
