"""Sequence to sequence: LSTM encoder and decoder, teacher forcing, padding does not count."""

import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

WORDS, PAD, START = 9, 0, 1
draw = torch.Generator().manual_seed(0)


def make_batch(size, length):
    source = torch.randint(2, WORDS, (size, length), generator=draw)
    source[1, -2:] = PAD
    return source, source.flip(1)


batches = [make_batch(16, 5), make_batch(16, 4), make_batch(7, 6)]


class Translator(nn.Module):
    def __init__(self, width=7):
        super().__init__()
        self.words = nn.Embedding(WORDS, width, padding_idx=PAD)
        self.encoder = nn.LSTM(width, width, batch_first=True)
        self.decoder = nn.LSTM(width, width, batch_first=True)
        self.head = nn.Linear(width, WORDS)

    def forward(self, source, target):
        _, state = self.encoder(self.words(source))
        before = F.pad(target, (1, -1), value=START)
        return self.head(self.decoder(self.words(before), state)[0])


def loss(model, batch):
    source, target = batch
    return F.cross_entropy(model(source, target).mT, target, ignore_index=PAD)


# For landscape
problem = ls.Problem(
    build=Translator, loss=loss, weight=lambda batch: (batch[1] != PAD).sum(), train=batches
)

# To check it
make_model, data = Translator, batches


def whole(model, data):
    each = [
        F.cross_entropy(model(*batch).mT, batch[1], reduction="none")[batch[1] != PAD]
        for batch in data
    ]
    return torch.cat(each).mean()
