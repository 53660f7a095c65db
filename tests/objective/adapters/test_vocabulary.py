"""Logits of a large vocabulary, made a few tokens at a time: the same derivatives by every route, less memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls
from landscape.objective import vocabulary
from tests.support.heads import Own, build, data
from tests.support.products import seeded_vector

WORDS, WIDTH = 11, 4
ROUTES = ("fresh", "retained", "linearized", "forward", "linearized/blocks-4")


@pytest.fixture
def three_tokens_at_once(monkeypatch):
    monkeypatch.setattr(vocabulary, "WORKSPACE", 3 * WORDS * 8)


class Words(nn.Module):
    """Tied or not, with a bias or not."""

    def __init__(self, *, tied, bias):
        super().__init__()
        self.first, self.middle = nn.Embedding(WORDS, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.last = nn.Linear(WIDTH, WORDS, bias=bias)
        if tied:
            self.last.weight = self.first.weight

    def forward(self, tokens):
        return torch.tanh(self.middle(self.first(tokens))).flatten(0, 1)


def plain(model, batch):
    return F.cross_entropy(model.last(model(batch[0])), batch[1].flatten())


def in_pieces(model, batch):
    targets = batch[1].flatten()
    total = vocabulary.vocabulary_loss(model(batch[0]), model.last.weight, model.last.bias, targets)
    return total / (targets >= 0).sum()


def both(params="*", **kind):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = Words(**kind).double()
        tokens, targets = torch.randint(WORDS, (6, 5)), torch.randint(WORDS, (6, 5))
    targets[2, 3:], targets[4] = -100, -100
    options = {"weight": lambda batch: float((batch[1] >= 0).sum()), "chunk": 4, "params": params}
    return [ls.Objective.from_loss(model, loss, (tokens, targets), **options) for loss in (plain, in_pieces)]


@pytest.mark.usefixtures("three_tokens_at_once")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize(("tied", "bias", "params"), [(True, False, "*"), (False, True, "*"), (False, True, "middle*")])
def test_every_route_gives_the_products_of_the_plain_loss(route, tied, bias, params):
    reference, objective = both(tied=tied, bias=bias, params=params)
    assert objective.loss() == pytest.approx(reference.loss(), rel=1e-14)
    gradient = reference.gradient()
    assert (objective.gradient() - gradient).norm() <= 1e-13 * gradient.norm()
    V = torch.stack([seeded_vector(objective.layout.size, seed) for seed in range(4)], dim=1)
    exact = torch.stack([reference.hvp(V[:, i]) for i in range(4)], dim=1)
    assert (ls.HessianOperator(objective, route=route) @ V - exact).norm() <= 1e-12 * exact.norm()


@pytest.mark.usefixtures("three_tokens_at_once")
def test_torchs_own_checks_of_first_and_second_derivatives():
    generator = torch.Generator().manual_seed(0)
    h, w, b = (torch.randn(s, generator=generator, dtype=torch.float64) for s in ((7, WIDTH), (WORDS, WIDTH), (WORDS,)))
    y = torch.tensor([0, 3, -100, 10, 5, 5, 1])
    given = [x.requires_grad_() for x in (h, w, b)]

    def loss(h, w, b):
        return vocabulary.vocabulary_loss(h, w, b, y)

    with torch.random.fork_rng(devices=[]):
        assert torch.autograd.gradcheck(loss, given, check_forward_ad=True)
        assert torch.autograd.gradgradcheck(loss, given, check_fwd_over_rev=True)


@pytest.mark.slow
@pytest.mark.usefixtures("three_tokens_at_once")
@pytest.mark.parametrize("case", ["causal", "masked", "translation"])
def test_a_language_model_is_asked_without_its_logits(case):
    objective = ls.Objective.from_huggingface(build(case), data(case), chunk=3)
    assert objective.module.words == 13
    assert "not kept" in repr(objective)
    if case == "translation":
        objective = objective.with_dtype(torch.float64, lift=True)
    v = seeded_vector(objective.layout.size, 0)
    exact = Own(build(case), data(case)).product(v)
    for route in ("fresh", "linearized"):
        assert (ls.HessianOperator(objective, route=route) @ v - exact).norm() <= 1e-10 * exact.norm()


@pytest.mark.slow
@pytest.mark.usefixtures("three_tokens_at_once")
def test_logits_that_are_capped_after_the_last_layer_are_kept():
    objective = ls.Objective.from_huggingface(build("causal, capped"), data("causal, capped"), chunk=3)
    assert objective.module.words == 0
    assert "seven to ten times" in repr(objective)
    lifted = objective.with_dtype(torch.float64, lift=True)
    exact = Own(build("causal, capped"), data("causal, capped")).loss
    assert lifted.loss() == pytest.approx(float(exact(lifted.theta)), rel=1e-12)


@pytest.mark.usefixtures("three_tokens_at_once")
def test_matrices_through_the_logits_make_them_and_chunks_leave_room_for_them():
    objective = ls.Objective.from_huggingface(build("causal"), data("causal"))
    batch = data("causal")
    assert objective.module.unseen_bytes(batch, torch.float64) == batch["labels"].numel() * 13 * 8
    v, plain = seeded_vector(objective.layout.size, 0), ls.GaussNewtonOperator(objective)
    objective.module.words = 0
    other = ls.GaussNewtonOperator(objective)
    assert (plain @ v - other @ v).norm() <= 1e-12 * (other @ v).norm()


PEAK = """
import json, logging, sys
import torch, transformers
import landscape as ls
from benchmarks.memory import peak, reset_peak
from landscape.objective import vocabulary
logging.getLogger("transformers").setLevel(logging.ERROR)
if sys.argv[1] == "plain":
    vocabulary.WORKSPACE = 2**60
words, length = 50_000, 512
config = transformers.GPT2Config(
    vocab_size=words, n_embd=8, n_layer=1, n_head=2, n_positions=length, bos_token_id=1, eos_token_id=1)
torch.manual_seed(0)
model = transformers.GPT2LMHeadModel(config).eval()
objective = ls.Objective.from_huggingface(model, {"input_ids": torch.randint(words, (1, length))}, check=False, chunk=1)
v = torch.randn(objective.layout.size)
before = reset_peak()
product = objective.hvp(v)
print(json.dumps({"peak": peak() - before, "norm": float(product.norm())}))
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the high mark of memory can be set back on Linux")
def test_a_product_for_50000_words_and_512_tokens_takes_less_than_three_arrays_of_logits():
    """Plain double backward takes more than five; a process of its own for each."""
    logits, seen = 50_000 * 512 * 4, {}
    for kind in ("plain", "pieces"):
        ran = subprocess.run([sys.executable, "-c", PEAK, kind], capture_output=True, text=True, check=True)
        seen[kind] = json.loads(ran.stdout.splitlines()[-1])
    assert seen["plain"]["norm"] == pytest.approx(seen["pieces"]["norm"], rel=1e-4)
    assert seen["plain"]["peak"] > 5 * logits
    assert seen["pieces"]["peak"] < 3 * logits
