"""Models of transformers are aligned by the same trace: rotary positions, shared keys, packed projections."""

from __future__ import annotations

import pytest
import torch

import landscape as ls
from tests.support.planted import drawn, exchanged, flat, seeded

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.slow

IDS = torch.randint(50, (4, 8), generator=torch.Generator().manual_seed(1))


def gpt2():
    sizes = {"n_embd": 12, "n_layer": 1, "n_head": 3, "vocab_size": 50, "n_positions": 16}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=None, eos_token_id=None))


def llama():
    sizes = {"hidden_size": 16, "intermediate_size": 20, "num_hidden_layers": 1, "vocab_size": 50}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes, **heads))


FOUND = {
    # stream, heads, queries with keys in each, values in each, inner layer
    "gpt2": (gpt2, [(3, 1), (4, 3), (4, 3), (12, 1), (48, 1)]),
    # heads of keys, queries on each, values in each; rotary positions hold queries and keys
    "llama": (llama, [(2, 1), (2, 2), (4, 2), (16, 1), (20, 1)]),
}


@pytest.mark.parametrize("name", FOUND)
def test_the_groups_are_found_and_what_was_exchanged_by_hand_is_put_back(name):
    build, expected = FOUND[name]
    model = seeded(build)
    with torch.no_grad():
        for index, p in enumerate(model.parameters()):
            p.normal_(std=0.3, generator=torch.Generator().manual_seed(index))
    if name == "gpt2":  # its dense layers have weights (inputs, outputs)
        inner, mlp = drawn(48, 1), "transformer.h.0.mlp."
        orders = {f"{mlp}c_fc.weight": {1: inner}, f"{mlp}c_fc.bias": {0: inner}, f"{mlp}c_proj.weight": {0: inner}}
    else:
        inner, mlp = drawn(20, 1), "model.layers.0.mlp."
        orders = {f"{mlp}{one}_proj.weight": {0: inner} for one in ("gate", "up")}
        orders |= {f"{mlp}down_proj.weight": {1: inner}}
    other = exchanged(model, orders)
    objective = ls.Objective.from_huggingface(model, [{"input_ids": IDS}])
    found = ls.align(objective, model, other)
    assert sorted(zip(found.sizes.tolist(), found.copies.tolist(), strict=True)) == expected
    assert not found.dropped
    assert torch.equal(torch.from_numpy(found.theta), flat(model))
