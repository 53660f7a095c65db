"""Encoder and decoder: T5 of transformers, targets padded with -100."""

import torch
import torch.nn.functional as F
from transformers import T5Config, T5ForConditionalGeneration

import landscape as ls

config = T5Config(
    vocab_size=13,
    d_model=8,
    d_kv=4,
    d_ff=12,
    num_layers=1,
    num_heads=2,
    decoder_start_token_id=0,
    initializer_factor=0.5,
)


def make_model():
    return T5ForConditionalGeneration(config)


def make_batch(lengths, seed):
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(2, 13, (len(lengths), max(lengths)), generator=draw)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return {
        "input_ids": ids.where(mask, 0),
        "attention_mask": mask.long(),
        "labels": ids.where(mask, -100)[:, :4].contiguous(),
    }


batches = [make_batch([6, 3, 5, 5, 2], 0), make_batch([4, 4, 1, 4], 1), make_batch([7, 5, 6], 2)]

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
    total = count = 0
    for batch in data:
        logits, labels = model(**batch).logits.flatten(0, 1), batch["labels"].flatten()
        total = total + F.cross_entropy(logits, labels, reduction="sum")
        count += (labels != -100).sum()
    return total / count
