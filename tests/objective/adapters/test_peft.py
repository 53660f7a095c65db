"""LoRA: over the adapters of a small GPT-2, which ``params="*lora*"`` names, the Hessian is the dense one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

import landscape as ls

pytestmark = pytest.mark.slow  # the libraries take seconds to load
peft = pytest.importorskip("peft")
transformers = pytest.importorskip("transformers")

VOCABULARY, LENGTH = 11, 5
TOKENS = torch.randint(VOCABULARY, (7, LENGTH), generator=torch.Generator().manual_seed(3))
BATCHES = [{"input_ids": TOKENS[:4]}, {"input_ids": TOKENS[4:]}]


@pytest.fixture(scope="module")
def model():
    """As after some training: B, which begins at zero, is not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = transformers.GPT2Config(vocab_size=VOCABULARY, n_positions=LENGTH, n_embd=6, n_layer=1, n_head=2)
        lora = peft.LoraConfig(
            r=1, target_modules=["c_attn"], lora_dropout=0.1, task_type="CAUSAL_LM", fan_in_fan_out=True
        )
        found = peft.get_peft_model(transformers.GPT2LMHeadModel(config), lora).double()
        for name, parameter in found.named_parameters():
            if "lora_B" in name:
                parameter.data.normal_()
    return found


def outputs(model, batch):
    return model(input_ids=batch["input_ids"], use_cache=False).logits


def loss(logits, batch):
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten())


@pytest.fixture(scope="module")
def objective(model):
    return ls.Objective.from_outputs(model, outputs, loss, BATCHES, params="*lora*")


@pytest.fixture(scope="module")
def exact(model):
    """By torch's own Hessian on a copy whose adapters are set by hand, all examples at once."""
    twin = copy.deepcopy(model).eval()
    places = [(n.rpartition("."), p) for n, p in twin.named_parameters() if "lora" in n]
    for (path, _, name), _ in places:
        del twin.get_submodule(path)._parameters[name]

    def of_theta(theta):
        for ((path, _, name), p), piece in zip(places, theta.split([p.numel() for _, p in places]), strict=True):
            setattr(twin.get_submodule(path), name, piece.view(p.shape))
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return loss(outputs(twin, {"input_ids": TOKENS}), {"input_ids": TOKENS})

    return torch.autograd.functional.hessian(of_theta, torch.cat([p.detach().reshape(-1) for _, p in places]))


def test_theta_is_the_adapters_and_nothing_else(model, objective):
    assert objective.layout.size == 6 + 18  # A is (1, 6), B is (18, 1)
    assert all("lora" in name for name in objective.layout.names)
    assert objective.layout.size == sum(p.numel() for p in model.parameters() if p.requires_grad)


def test_the_hessian_over_the_adapters_is_the_dense_one(objective, exact):
    assert float(exact.norm()) > 1e-3
    for route in ("fresh", "retained", "auto"):
        found = ls.HessianOperator(objective, route=route).dense()
        assert (found - exact).norm() <= 1e-11 * exact.norm(), route


def test_gauss_newton_of_the_adapters_has_no_negative_eigenvalue(objective):
    """And is another matrix than the Hessian, which has some."""
    values = torch.linalg.eigvalsh(ls.GaussNewtonOperator(objective).dense())
    assert values[0] >= -1e-12 * values[-1]
    assert not torch.allclose(
        ls.GaussNewtonOperator(objective).dense(), ls.HessianOperator(objective).dense(), rtol=1e-3
    )


def test_the_blocks_of_the_adapters_stand_alone(objective, exact):
    found = ls.HessianOperator(objective).block("*lora_B*").dense()
    assert (found - exact[6:, 6:]).norm() <= 1e-11 * exact.norm()
