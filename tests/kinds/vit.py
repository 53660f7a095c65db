"""Vision transformer: digits cut into patches, torch's own attention."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

digits = load_digits()
x, y = torch.tensor(digits.images[:120, None] / 16).float(), torch.tensor(digits.target[:120])


class ViT(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 5, width))
        self.encoder = nn.TransformerEncoderLayer(width, 2, 16, activation="gelu", batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.first.expand(len(images), -1, -1), tokens], 1) + self.places
        return self.head(self.encoder(tokens)[:, 0])


# For landscape
problem = ls.Problem(build=ViT, loss_fn=F.cross_entropy, train=(x, y))

# To check it
make_model, data = ViT, (x, y)


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
