"""No loss and no layer of torch takes the process down, or makes a product that is silently wrong: a small part.

The whole is ``tests/campaigns/test_losses_and_layers.py``.
"""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from tests.support.layers_by_name import LAYERS
from tests.support.losses_by_name import LOSSES
from tests.support.verdicts import judged

#: Layers that are not tried, and why.
LEFT_OUT = {
    "Module, Container, ModuleDict, ModuleList, ParameterDict, ParameterList": "they hold, and compute nothing",
    "RNNBase, RNNCellBase": "the common part of layers that are tried",
    "DataParallel, SyncBatchNorm": "more than one device",
}
#: And the lazy ones: once they have run they are of the class without that name.
LAZY = "Lazy"


@pytest.mark.slow
def test_losses_that_end_a_process_which_records_them_carelessly_are_right_on_every_route():
    """``mse_loss`` reads the zero tangent of its target; a bias without a weight has no second derivative at once."""
    names = ["mse_loss mean", "Hardsigmoid", "layer_norm bias alone"]
    found = judged(*names)
    assert {case for case, _ in found} == set(names)
    wrong = {which: what for which, what in found.items() if what[0] != "right"}
    assert not wrong
    assert {"linearized", "forward", "fresh elsewhere", "gauss-newton linearized"} <= {route for _, route in found}


def test_every_loss_of_torch_is_in_the_campaign():
    there = {name for name in vars(F) if name.endswith("_loss")} | {name for name in vars(F) if "cross_entropy" in name}
    assert there | {"kl_div"} <= {name.split()[0] for name in LOSSES}


def test_every_loss_layer_is_one_of_these_losses():
    classes = [name for name, kind in vars(nn).items() if inspect.isclass(kind) and name.endswith("Loss")]
    known = {name.split()[0].replace("_", "").removesuffix("loss") for name in LOSSES}
    short = {"BCE": "binarycrossentropy", "BCEWithLogits": "binarycrossentropywithlogits", "KLDiv": "kldiv"}
    missing = {
        name for name in classes if short.get(name.removesuffix("Loss"), name.removesuffix("Loss").lower()) not in known
    }
    assert missing <= {"AdaptiveLogSoftmaxWithLoss"}, "which is among the layers"


def test_every_layer_of_torch_is_in_the_campaign_or_left_out_for_a_reason():
    layers = {name for name, kind in vars(nn).items() if inspect.isclass(kind) and issubclass(kind, nn.Module)}
    tried = {name.split()[0] for name in LAYERS}
    left_out = {name for names in LEFT_OUT for name in names.split(", ")}
    assert not left_out - layers, "torch has no such layer"
    missing = {
        n for n in layers - tried - left_out if not n.startswith(LAZY) and not n.removesuffix("2d").endswith("Loss")
    }
    assert not missing


@pytest.mark.parametrize(
    ("loss", "name"),
    [(F.multi_margin_loss, "multi_margin_loss"), (F.multilabel_margin_loss, "multilabel_margin_loss")],
)
def test_an_operation_without_a_second_derivative_is_named_with_the_way_out(loss, name):
    with torch.random.fork_rng():
        model = nn.Linear(3, 4)
    target = torch.arange(6) % 4 if name == "multi_margin_loss" else torch.tensor([[0, 2, -1, 0]] * 6)
    objective = ls.Objective(model, loss, (torch.eye(6)[:, :3], target), check=False)
    for route in ("auto", "fresh", "retained"):
        with pytest.raises(ls.ObjectiveError, match=f"{name}, .*no second derivative.*route='differences'"):
            ls.HessianOperator(objective, route=route) @ objective.theta


class Pairwise(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(3, 2)

    def forward(self, x):
        return torch.cdist(self.body(x), torch.ones(2, 2))


class Bag(nn.Module):
    def __init__(self):
        super().__init__()
        self.bag, self.head = nn.EmbeddingBag(5, 3), nn.Linear(3, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.bag(x)))


@pytest.mark.parametrize(
    ("build", "x", "name"),
    [(Pairwise, torch.eye(6)[:, :3], "cdist"), (Bag, torch.arange(12).reshape(6, 2) % 5, "EmbeddingBag")],
)
def test_a_layer_without_a_second_derivative_is_named_with_the_way_out(build, x, name):
    with torch.random.fork_rng():
        model = build()
    objective = ls.Objective(model, F.cross_entropy, (x, torch.arange(6) % 2), check=False)
    with pytest.raises(ls.ObjectiveError, match=f"{name}, .*no second derivative.*route='differences'"):
        ls.HessianOperator(objective) @ objective.theta


def test_gauss_newton_is_recorded_through_an_error_that_the_model_computes_itself():
    """``mse_loss`` inside the model: against JᵀBJ from dense first derivatives."""

    class Errors(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Linear(3, 2)

        def forward(self, x):
            return F.mse_loss(
                torch.tanh(self.body(x)), torch.ones(2, dtype=x.dtype).expand(len(x), 2), reduction="none"
            )

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Errors().double()
    x = torch.eye(6, dtype=torch.float64)[:, :3] + 0.5
    y = torch.arange(6) % 2
    G = ls.GaussNewtonOperator(ls.Objective(model, F.cross_entropy, (x, y), check=False), route="linearized")
    assert G.route == "linearized"
    free, f = list(model.parameters()), model(x)
    rows = [torch.autograd.grad(one, free, retain_graph=True) for one in f.reshape(-1)]
    J = torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])
    B = torch.autograd.functional.hessian(lambda at: F.cross_entropy(at, y), f.detach()).reshape(12, 12)
    exact = J.T @ B @ J
    assert (G.dense() - exact).norm() <= 1e-12 * exact.norm()


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_spectrum_of_fewer_parameters_than_pairs_by_default_is_all_of_them(dim):
    exact = torch.linspace(-1, 2, dim + 1, dtype=torch.float64)[1:].flip(0)
    matrix = ls.MatrixOperator(torch.diag(exact))
    for eigs in (ls.spectrum(matrix).eigs, ls.top_eigenpairs(matrix)):
        assert len(eigs.values) == dim
        assert abs(eigs.values - exact.numpy()).max() <= 1e-9
