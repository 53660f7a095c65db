"""Two heads: a class and a number from one trunk, a dict of outputs, two losses added."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_diabetes
from torch import nn

import landscape as ls

found = load_diabetes()
x, number = (
    torch.tensor(found.data[:150] * 20).float(),
    torch.tensor(found.target[:150] / 100).float(),
)
batch = {"x": x, "class": (x[:, 2] > 0).long() + (x[:, 8] > 0).long(), "number": number}


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(10, 16), nn.SiLU())
        self.classes, self.number = nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x):
        features = self.trunk(x)
        return {"class": self.classes(features), "number": self.number(features)[:, 0]}


def loss(outputs, batch):
    of_classes = F.cross_entropy(outputs["class"], batch["class"])
    return of_classes + 0.5 * F.mse_loss(outputs["number"], batch["number"])


# For landscape
problem = ls.Problem(
    build=TwoHeads, outputs=lambda model, batch: model(batch["x"]), loss=loss, train=batch
)

# To check it
make_model, data = TwoHeads, batch


def whole(model, data):
    return loss(model(data["x"]), data)
