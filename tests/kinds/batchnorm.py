"""BatchNorm in training mode: statistics of all the data as one batch are part of the loss."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_wine
from torch import nn

import landscape as ls

x, y = (torch.as_tensor(part) for part in load_wine(return_X_y=True))
x = x.float()


def make_model():
    return nn.Sequential(
        nn.BatchNorm1d(13), nn.Linear(13, 12), nn.BatchNorm1d(12), nn.Tanh(), nn.Linear(12, 3)
    )


# For landscape
problem = ls.Problem(build=make_model, loss_fn=F.cross_entropy, train=(x, y), mode="train")

# To check it
data = x, y


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
