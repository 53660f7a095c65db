"""Dense Jacobians and Gauss-Newton matrices of small networks, by another route than the operators take."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.networks import make

SIZES = (7, 4, 2)


def make_network(kind: str, *, dtype=torch.float64):
    """(model, loss_fn, batches, likelihood) with batches of 7, 4 and 2 examples, the same on each call."""
    if kind in ("mlp", "cnn", "tied", "siamese", "frozen"):
        return (*make(kind, sizes=SIZES, dtype=dtype), "categorical")
    with torch.random.fork_rng():
        torch.manual_seed(5)
        x = [torch.randn(n, 3, dtype=dtype) for n in SIZES]
        if kind == "deep_linear":
            layers = [nn.Linear(3, 5, bias=False), nn.Linear(5, 4, bias=False), nn.Linear(4, 2)]
            return (
                nn.Sequential(*layers).to(dtype),
                F.mse_loss,
                [(v, torch.randn(len(v), 2).to(dtype)) for v in x],
                "gaussian",
            )
        if kind == "logistic":
            model = nn.Linear(3, 4).to(dtype)
            return model, F.cross_entropy, [(v, torch.randint(4, (len(v),))) for v in x], "categorical"
        assert kind == "bernoulli"
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
        targets = [torch.randint(2, (len(v), 2)).to(dtype) for v in x]
        return model, F.binary_cross_entropy_with_logits, list(zip(x, targets, strict=True)), "bernoulli"


NETWORKS = ("mlp", "cnn", "deep_linear", "logistic", "tied", "bernoulli", "siamese", "frozen")


def outputs_of(model: nn.Module, inputs):
    """(θ (P,), f(θ)) in float64 on a copy of the model, each distinct trainable tensor in every place that holds it."""
    model = copy.deepcopy(model).double().eval()
    originals = dict(model.named_parameters())
    names = [n for n, p in originals.items() if p.requires_grad]
    homes = {
        n: [(m, a) for m in model.modules() for a, p in list(m._parameters.items()) if p is originals[n]] for n in names
    }
    theta = torch.cat([originals[n].detach().reshape(-1) for n in names])
    inputs = inputs.double() if inputs.is_floating_point() else inputs
    for n in names:
        for module, attr in homes[n]:
            del module._parameters[attr]

    def outputs(vector):
        pieces = vector.split([originals[n].numel() for n in names])
        for n, piece in zip(names, pieces, strict=True):
            for module, attr in homes[n]:
                setattr(module, attr, piece.view(originals[n].shape))
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return model(inputs)

    return theta, outputs


def dense_jacobian(model: nn.Module, batches):
    """(f, J) on all examples at once: outputs (…, C) and their derivatives (…, C, P)."""
    theta, outputs = outputs_of(model, torch.cat([b[0] for b in batches]))
    return outputs(theta).detach(), torch.autograd.functional.jacobian(outputs, theta)


def output_curvature(f: torch.Tensor, likelihood: str) -> torch.Tensor:
    """Blocks (units, C, C) of the loss's Hessian by the outputs, written down: what one unit adds to the mean."""
    rows = f.reshape(-1, f.shape[-1])
    if likelihood == "categorical":
        p = rows.softmax(-1)
        return (torch.diag_embed(p) - p[:, :, None] * p[:, None, :]) / len(rows)
    each = torch.full_like(rows, 2.0) if likelihood == "gaussian" else rows.sigmoid() * (1 - rows.sigmoid())
    return torch.diag_embed(each) / rows.numel()


def dense_gauss_newton(model: nn.Module, batches, likelihood: str) -> torch.Tensor:
    """JᵀBJ (P, P) in float64."""
    f, J = dense_jacobian(model, batches)
    J = J.reshape(-1, f.shape[-1], J.shape[-1])
    return torch.einsum("ucp,ucd,udq->pq", J, output_curvature(f, likelihood), J)


def assert_matrix(seen: torch.Tensor, expected: torch.Tensor, *, ulps: float = 300) -> None:
    """Equal to within ``ulps`` roundings of the dtype seen, relative to the whole matrix; and not vacuous."""
    scale = float(expected.norm())
    assert scale > 0
    assert float((seen.double() - expected.double()).norm()) <= ulps * torch.finfo(seen.dtype).eps * scale


def assert_operator(operator, expected: torch.Tensor, *, ulps: float = 300) -> None:
    """Products with 20 random vectors equal those of the matrix: what dense() would show, for fewer products."""
    V = torch.randn(operator.dim, 20, generator=torch.Generator().manual_seed(11), dtype=torch.float64)
    V = V.to(operator.dtype)
    assert_matrix(operator @ V, expected.double() @ V.double(), ulps=ulps)
