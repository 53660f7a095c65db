"""MLP-Mixer: patches mixed by linear layers over places and over channels."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

digits = load_digits()
x, y = torch.tensor(digits.images[:120, None] / 16).float(), torch.tensor(digits.target[:120])


class Mixer(nn.Module):
    def __init__(self, places=16, width=6):
        super().__init__()
        self.patches = nn.Conv2d(1, width, 2, stride=2)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.over_places = nn.Sequential(nn.Linear(places, 8), nn.GELU(), nn.Linear(8, places))
        self.over_channels = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))
        self.head = nn.Linear(width, 10)

    def forward(self, images):
        z = self.patches(images).flatten(2).mT
        z = z + self.over_places(self.norm1(z).mT).mT
        z = z + self.over_channels(self.norm2(z))
        return self.head(z.mean(1))


# For landscape
problem = ls.Problem(build=Mixer, loss_fn=F.cross_entropy, train=(x, y))

# To check it
make_model, data = Mixer, (x, y)


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
