"""Residual network with BatchNorm's running statistics: digits from a loader that shuffles."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls

digits = load_digits()
x, y = torch.tensor(digits.images[:150, None] / 16).float(), torch.tensor(digits.target[:150])
loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, x):
        return F.relu(x + self.norm2(self.second(F.relu(self.norm1(self.first(x))))))


def make_model():
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    stem = nn.Sequential(nn.Conv2d(1, 5, 3, stride=2, padding=1), nn.BatchNorm2d(5), nn.ReLU())
    return nn.Sequential(stem, Block(5), Block(5), pool, nn.Linear(5, 10))


# For landscape
problem = ls.Problem(build=make_model, loss_fn=F.cross_entropy, train=loader)

# To check it
data = x, y


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
