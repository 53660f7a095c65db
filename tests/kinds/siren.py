"""SIREN: an image as a function of its coordinates, sine activations."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

pixels = torch.tensor(load_digits().images[0] / 16).float().reshape(-1, 1)
places = torch.cartesian_prod(torch.linspace(-1, 1, 8), torch.linspace(-1, 1, 8))


class Siren(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        self.first, self.second, self.last = (
            nn.Linear(*shape) for shape in ((2, width), (width, width), (width, 1))
        )

    def forward(self, places):
        return self.last(torch.sin(3 * self.second(torch.sin(10 * self.first(places)))))


# For landscape
problem = ls.Problem(build=Siren, loss_fn=F.mse_loss, train=(places, pixels))

# To check it
make_model, data = Siren, (places, pixels)


def whole(model, data):
    return F.mse_loss(model(data[0]), data[1])
