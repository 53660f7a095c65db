"""Objectives of models of transformers: their loss and its derivatives are those of ``model(**batch).loss``."""

from __future__ import annotations

import warnings

import pytest
import torch

import landscape as ls
from tests.support.heads import HEADS, Own, build, data
from tests.support.products import seeded_vector

pytest.importorskip("transformers")
QUICK = ("causal", "classes", "images")
ALL = [case if case in QUICK else pytest.param(case, marks=pytest.mark.slow) for case in HEADS]
#: These compute in float32 inside, and are asked with that lifted.
COARSE = ("causal, rotary", "causal, no attention", "causal, capped", "translation")


def objective_of(case, given=None, **options):
    """In chunks of three, so that they hold different numbers of what counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # none may fall back
        objective = ls.Objective.from_huggingface(build(case), given or data(case), chunk=3, **options)
    return objective.with_dtype(torch.float64, lift=True).rechunked(3) if case in COARSE else objective


@pytest.mark.parametrize("case", ALL)
def test_loss_gradient_and_product_are_those_of_the_models_own_loss_on_all_data_at_once(case):
    objective, own = objective_of(case), Own(build(case), data(case))
    assert objective.num_chunks > 1
    v = seeded_vector(objective.layout.size, 0)
    theta = own.theta.requires_grad_()
    loss = own.loss(theta)
    (gradient,) = torch.autograd.grad(loss, theta)
    assert abs(objective.loss() - float(loss)) <= 1e-12 * abs(float(loss))
    assert (objective.gradient() - gradient).norm() <= 1e-10 * gradient.norm()
    exact = own.product(v)
    assert (objective.hvp(v) - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.slow
def test_the_dense_hessian_of_the_head_is_torchs():
    model, given = build("classes"), data("classes")
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("classifier" in name)
    exact = Own(model, given).dense()
    objective = ls.Objective.from_huggingface(build("classes"), given, params="*classifier*")
    assert objective.layout.size == len(exact)
    for route in ("linearized", "fresh"):
        H = ls.HessianOperator(objective, route=route)
        assert (H.dense() - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["causal", "classes", "labels", "several numbers"])
def test_gauss_newton_is_jacobian_times_curvature_times_jacobian(case):
    """J by torch, of the logits of all data at once; B, the curvature of the loss, written out."""
    objective, own, batch = objective_of(case), Own(build(case), data(case)), data(case)
    jacobian = torch.autograd.functional.jacobian(lambda t: own.output(t).logits, own.theta, vectorize=True)
    logits = own.output(own.theta).logits
    if case == "causal":
        counted = batch["labels"][:, 1:] != -100
        jacobian, logits = jacobian[:, :-1][counted], logits[:, :-1][counted]
    flat, p = jacobian.flatten(0, -3), logits.flatten(0, -2)
    if case in ("causal", "classes"):
        p = p.softmax(-1)
        bent = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    elif case == "labels":
        bent = torch.diag_embed(p.sigmoid() * (1 - p.sigmoid())) / p.shape[-1]
    else:
        bent = torch.eye(3, dtype=torch.float64).expand(len(p), 3, 3) * 2 / 3
    V = torch.stack([seeded_vector(objective.layout.size, seed) for seed in range(2)], dim=1)
    exact = torch.einsum("nip,nij,njk->pk", flat, bent, flat @ V) / len(p)
    G = ls.GaussNewtonOperator(objective)
    assert (G @ V - exact).norm() <= 1e-10 * exact.norm()
    F = ls.FisherOperator(objective)  # the likelihood is known from the head
    assert (F @ V - exact).norm() <= 1e-9 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize("case", ["answers", "translation", "images"])
def test_gauss_newton_of_other_heads_has_the_products_of_jacobian_and_curvature(case):
    """Jv by differences of the outputs in float64, B by torch on the loss of the outputs, Jᵀ by backward."""
    objective, own = objective_of(case, data(case)).rechunked(8), Own(build(case), data(case))
    v, step = seeded_vector(objective.layout.size, 1), 1e-5
    if case == "answers":  # the row for padding is no part of θ to autograd, and to differences it is
        pieces = objective.layout.unflatten(v)
        pieces["bert.embeddings.word_embeddings.weight"][0] = 0
        v = objective.layout.flatten(pieces)

    def outputs(theta):
        found = own.output(theta)
        return (found.start_logits, found.end_logits) if case == "answers" else (found.logits,)

    ahead, behind = outputs(own.theta + step * v), outputs(own.theta - step * v)
    along = tuple(((a - b) / (2 * step)).detach() for a, b in zip(ahead, behind, strict=True))
    labels = [data(case)[k] for k in (("start_positions", "end_positions") if case == "answers" else ("labels",))]

    def loss(*logits):
        pairs = zip(logits, labels, strict=True)
        each = [torch.nn.functional.cross_entropy(f.flatten(0, -2), y.flatten()) for f, y in pairs]
        return sum(each) / len(each)

    theta = own.theta.requires_grad_()
    at = outputs(theta)
    bent = torch.autograd.functional.hvp(loss, tuple(f.detach() for f in at), along)[1]
    (exact,) = torch.autograd.grad(at, theta, bent)
    G = ls.GaussNewtonOperator(objective)
    assert (G @ v - exact).norm() <= 1e-6 * exact.norm()


@pytest.mark.slow
@pytest.mark.parametrize("route", ["linearized", "forward"])
@pytest.mark.parametrize("case", ["causal", "causal, rotary", "masked", "classes"])
def test_a_padding_mask_does_not_stop_recording(case, route):
    """The first chunk is full and the second padded: one recording for each, where the model asks whether it is."""
    objective, own = objective_of(case).rechunked(4), Own(build(case), data(case))
    H = ls.HessianOperator(objective, route=route)
    assert H._product.kernels.count == 2
    v = seeded_vector(H.dim, 1)
    exact = own.product(v)
    assert (H @ v - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.slow
def test_float32_inside_a_model_in_float64_is_no_reason_to_refuse_a_recording():
    """RMSNorm of Llama is in float32: routes differ by its rounding, and neither is nearer to the truth."""
    objective = ls.Objective.from_huggingface(build("causal, rotary"), data("causal, rotary"))
    H, v = ls.HessianOperator(objective, route="linearized"), seeded_vector(objective.layout.size, 0)
    exact = Own(build("causal, rotary"), data("causal, rotary")).product(v)
    assert 1e-10 * exact.norm() < (H @ v - exact).norm() <= 1e-5 * exact.norm()


def test_the_model_is_left_as_it_was():
    model = build("classes").train()
    before = model.state_dict()
    before = {name: tensor.clone() for name, tensor in before.items()}
    objective = ls.Objective.from_huggingface(model, data("classes"))
    ls.HessianOperator(objective) @ seeded_vector(objective.layout.size, 0)
    assert model.training
    assert model.config.problem_type is None
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_half_precision_is_measured_in_float32():
    model = build("causal").to(torch.bfloat16)
    objective = ls.Objective.from_huggingface(model, data("causal"))
    same = ls.Objective.from_huggingface(model.float(), data("causal"))
    assert objective.dtype == torch.float32
    assert objective.loss() == same.loss()
