"""Masked language model: BERT of transformers, labels of -100 where nothing is masked."""

import torch
import torch.nn.functional as F
from transformers import BertConfig, BertForMaskedLM

import landscape as ls

WORDS, MASK = 13, 1
config = BertConfig(
    vocab_size=WORDS,
    hidden_size=8,
    intermediate_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    max_position_embeddings=8,
)


def make_model():
    return BertForMaskedLM(config)


def make_batch(size, seed):
    draw = torch.Generator().manual_seed(seed)
    ids = (torch.randint(2, 5, (size, 1), generator=draw) + 2 * torch.arange(7)).clamp(
        max=WORDS - 1
    )
    masked = torch.rand(ids.shape, generator=draw) < 0.3
    return {
        "input_ids": ids.where(~masked, MASK),
        "attention_mask": torch.ones_like(ids),
        "labels": ids.where(masked, -100),
    }


batches = [make_batch(12, 0), make_batch(12, 1), make_batch(5, 2)]

# For landscape
problem = ls.Problem(
    build=make_model,
    loss=lambda model, batch: model(**batch).loss,
    weight=lambda batch: (batch["labels"] != -100).sum(),
    train=batches,
)

# To check it
data = batches


def whole(model, data):
    joined = {name: torch.cat([batch[name] for batch in data]) for name in data[0]}
    logits = model(joined["input_ids"], joined["attention_mask"]).logits
    return F.cross_entropy(logits.flatten(0, 1), joined["labels"].flatten())
