"""Multi-layer perceptron: flowers in three classes."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_iris
from torch import nn

import landscape as ls

x, y = (torch.as_tensor(part) for part in load_iris(return_X_y=True))
x = ((x - x.mean(0)) / x.std(0)).float()
x_train, y_train, x_test, y_test = x[::2], y[::2], x[1::2], y[1::2]


def make_model():
    return nn.Sequential(
        nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)
    )


# For landscape
problem = ls.Problem(
    build=make_model, loss_fn=F.cross_entropy, train=(x_train, y_train), test=(x_test, y_test)
)

# To check it
data = x_train, y_train


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
