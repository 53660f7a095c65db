"""Convolutional network (LeNet): images of digits, in a Dataset."""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import Dataset

import landscape as ls


class Digits(Dataset):
    def __init__(self, first, last):
        found = load_digits()
        self.images, self.classes = found.images[first:last] / 16, found.target[first:last]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return torch.tensor(self.images[index][None], dtype=torch.float32), int(self.classes[index])


def make_model():
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(), nn.AvgPool2d(2)),
        *(nn.Flatten(), nn.Linear(24, 20), nn.Tanh(), nn.Linear(20, 10)),
    )


# For landscape
problem = ls.Problem(build=make_model, loss_fn=nn.CrossEntropyLoss(), train=Digits(0, 150))

# To check it
data = list(Digits(0, 150))


def whole(model, data):
    images, classes = zip(*data)
    return nn.functional.cross_entropy(model(torch.stack(images)), torch.tensor(classes))
