"""State space model: Mamba of transformers, texts of one length."""

import torch
import torch.nn.functional as F
from transformers import MambaConfig, MambaForCausalLM

import landscape as ls

config = MambaConfig(
    vocab_size=13,
    hidden_size=8,
    num_hidden_layers=1,
    state_size=4,
    time_step_rank=1,
    use_cache=False,
)
start = torch.randint(13, (24, 1), generator=torch.Generator().manual_seed(0))
tokens = (start + 3 * torch.arange(7) ** 2) % 13


def make_model():
    return MambaForCausalLM(config)


# For landscape
problem = ls.Problem(
    build=make_model, loss=lambda model, batch: model(batch, labels=batch).loss, train=tokens
)

# To check it
data = tokens


def whole(model, data):
    return F.cross_entropy(model(data).logits[:, :-1].flatten(0, 1), data[:, 1:].flatten())
