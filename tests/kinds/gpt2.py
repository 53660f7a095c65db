"""Language model: GPT-2 of transformers, batches as collators make them, of uneven length."""

import torch
import torch.nn.functional as F
from transformers import GPT2Config, GPT2LMHeadModel

import landscape as ls

config = GPT2Config(
    vocab_size=13, n_embd=8, n_layer=1, n_head=2, n_positions=8, bos_token_id=0, eos_token_id=0
)


def make_model():
    return GPT2LMHeadModel(config)


def make_batch(lengths, seed):
    draw = torch.Generator().manual_seed(seed)
    start = torch.randint(13, (len(lengths), 1), generator=draw)
    ids = (start + 3 * torch.arange(max(lengths)) ** 2) % 13
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return {
        "input_ids": ids.where(mask, 0),
        "attention_mask": mask.long(),
        "labels": ids.where(mask, -100),
    }


batches = [make_batch([5, 3, 5, 4], 0), make_batch([8, 7, 2, 8], 1), make_batch([6, 6], 2)]

# For landscape
problem = ls.Problem(
    build=make_model,
    loss=lambda model, batch: model(**batch).loss,
    weight=lambda batch: (batch["labels"][:, 1:] != -100).sum(),
    train=batches,
)

# To check it
data = batches


def whole(model, data):
    total = count = 0
    for batch in data:
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        logits, labels = (
            model(**inputs).logits[:, :-1].flatten(0, 1),
            batch["labels"][:, 1:].flatten(),
        )
        total = total + F.cross_entropy(logits, labels, reduction="sum")
        count += (labels != -100).sum()
    return total / count
