"""ConvNeXt: depthwise convolutions, LayerNorm over channels, layer scale; smoothed labels."""

import torch
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

digits = load_digits()
x, y = torch.tensor(digits.images[:120, None] / 16).float(), torch.tensor(digits.target[:120])
loss_fn = nn.CrossEntropyLoss(label_smoothing=0.1)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.wide, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.scale = nn.Parameter(1e-1 * torch.ones(width))

    def forward(self, x):
        inner = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        inner = self.scale * self.narrow(nn.functional.gelu(self.wide(inner)))
        return x + inner.permute(0, 3, 1, 2)


def make_model():
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(1, 6, 2, stride=2), Block(6), Block(6), pool, nn.Linear(6, 10))


# For landscape
problem = ls.Problem(build=make_model, loss_fn=loss_fn, train=(x, y))

# To check it
data = x, y


def whole(model, data):
    return loss_fn(model(data[0]), data[1])
