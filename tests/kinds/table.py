"""Own data: a CSV file with numbers, a category and gaps, read by pandas."""

from pathlib import Path

import pandas as pd
import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

houses = pd.read_csv(Path(__file__).with_name("houses.csv"))
price = houses.pop("price") / 1e5
columns = pd.get_dummies(houses.fillna(houses.mean(numeric_only=True))).astype("float32")
columns = (columns - columns.mean()) / columns.std()


def make_model():
    return nn.Sequential(
        nn.Linear(columns.shape[1], 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0)
    )


# For landscape
train, test = (columns[:100], price[:100]), (columns[100:], price[100:])
problem = ls.Problem(build=make_model, loss_fn=F.mse_loss, train=train, test=test)

# To check it
data = torch.tensor(columns[:100].values), torch.tensor(price[:100].values)


def whole(model, data):
    return F.mse_loss(model(data[0]), data[1].to(data[0].dtype))
