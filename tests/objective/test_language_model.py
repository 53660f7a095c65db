"""Causal language models: tied embeddings, fused attention, padding that does not count, tokens that weigh."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from tests.support.networks import TiedTransformer, dense_hessian
from tests.support.products import seeded_vector

PAD = -100
ROUTES = ["fresh", "retained", "linearized", "forward", "linearized/blocks-4"]


def padded_text(sizes=(5, 3, 2), length=6):
    """Batches of token sequences of which a random part of the targets is padding, unevenly between batches."""
    generator = torch.Generator().manual_seed(2)
    batches = []
    for size in sizes:
        tokens = torch.randint(5, (size, length + 1), generator=generator)
        targets = tokens[:, 1:].clone()
        lengths = torch.randint(1, length + 1, (size,), generator=generator)
        targets[torch.arange(length) >= lengths[:, None]] = PAD
        batches.append((tokens[:, :-1], targets))
    return batches


def loss_of_real_tokens(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)


def real_tokens(batch):
    return float((batch[1] != PAD).sum())


def make_model():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return TiedTransformer().double()


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("chunk", [1, 4, None])
def test_padding_counts_for_nothing_however_the_text_is_cut(route, chunk):
    """The mean runs over real tokens, of which no two chunks have the same number."""
    model, batches = make_model(), padded_text()
    exact = dense_hessian(model, loss_of_real_tokens, batches)
    objective = ls.Objective(model, loss_of_real_tokens, batches, weight=real_tokens, chunk=chunk)
    H = ls.HessianOperator(objective, route=route)
    V = torch.stack([seeded_vector(H.dim, seed) for seed in range(4)], dim=1)
    assert (H @ V - exact @ V).norm() <= 1e-12 * (exact @ V).norm()


def test_a_mean_over_tokens_that_is_weighed_by_sequences_is_refused():
    with pytest.raises(ls.ObjectiveError, match="not a mean over examples.*ignore_index.*weight="):
        ls.Objective(make_model(), loss_of_real_tokens, padded_text(sizes=(10,)))


@pytest.mark.slow
def test_tokens_may_weigh_differently():
    """Weights travel with the batch; the mean is over their sum."""
    model = make_model()
    generator = torch.Generator().manual_seed(4)
    batches = [(t, y, torch.rand(y.shape, generator=generator, dtype=torch.float64)) for t, y in padded_text()]

    def loss(model, batch):
        tokens, targets, weights = batch
        each = F.cross_entropy(model(tokens).flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="none")
        return (each * weights.flatten()).sum() / _mass(batch)

    def _mass(batch):
        return (batch[2] * (batch[1] != PAD)).sum()

    objective = ls.Objective.from_loss(model, loss, batches, weight=lambda batch: float(_mass(batch)), chunk=3)
    joined = [torch.cat(column) for column in zip(*batches, strict=True)]
    whole = [(joined[0], torch.stack([joined[1].double(), joined[2]]).movedim(0, -1))]

    def same(logits, both):
        targets, weights = both[..., 0].long().flatten(), both[..., 1].flatten()
        each = F.cross_entropy(logits.flatten(0, 1), targets, ignore_index=PAD, reduction="none")
        return (each * weights).sum() / (weights * (targets != PAD)).sum()

    exact = dense_hessian(model, same, whole)
    v = seeded_vector(objective.layout.size, 0)
    for route in ROUTES:
        H = ls.HessianOperator(objective, route=route)
        assert (H @ v - exact @ v).norm() <= 1e-12 * (exact @ v).norm()


def test_tied_weights_are_one_tensor_with_both_uses_in_its_curvature():
    model, batches = make_model(), padded_text()
    objective = ls.Objective(model, loss_of_real_tokens, batches, weight=real_tokens)
    assert "lm_head.weight" not in objective.layout.names
    rows = objective.layout.slices()["wte.weight"]
    H = ls.HessianOperator(objective)
    untied = make_model()
    untied.lm_head.weight = torch.nn.Parameter(model.wte.weight.detach().clone())
    other = ls.Objective(untied, loss_of_real_tokens, batches, weight=real_tokens)
    where = other.layout.slices()
    first, last = where["wte.weight"], where["lm_head.weight"]
    full = ls.HessianOperator(other).dense()
    expected = full[first, first] + full[first, last] + full[last, first] + full[last, last]
    assert (H.dense()[rows, rows] - expected).norm() <= 1e-12 * expected.norm()
