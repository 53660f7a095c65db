"""Recurrent network: GRU over padded sequences with their lengths."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import landscape as ls


def make_batch(lengths, seed):
    draw = torch.Generator().manual_seed(seed)
    steps = torch.randn(len(lengths), max(lengths), 2, generator=draw)
    steps[torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]] = 0
    label = (steps[..., 0].sum(1) > 0).long()
    return {"steps": steps, "lengths": torch.tensor(lengths), "label": label}


batches = [make_batch([4, 9, 7] * 6, 0), make_batch([5, 2, 3] * 6, 1), make_batch([6, 8] * 3, 2)]


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru, self.head = nn.GRU(2, 10, batch_first=True), nn.Linear(10, 2)

    def forward(self, steps, lengths):
        packed = pack_padded_sequence(steps, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.gru(packed)[1][-1])


# For landscape
problem = ls.Problem(
    build=Reader,
    outputs=lambda model, batch: model(batch["steps"], batch["lengths"]),
    loss=lambda scores, batch: F.cross_entropy(scores, batch["label"]),
    targets=lambda batch: batch["label"],
    train=batches,
)

# To check it
make_model, data = Reader, batches


def whole(model, data):
    scores = torch.cat([model(batch["steps"], batch["lengths"]) for batch in data])
    return F.cross_entropy(scores, torch.cat([batch["label"] for batch in data]))
