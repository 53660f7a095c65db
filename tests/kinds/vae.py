"""Variational autoencoder: the noise of its samples is part of the data."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

LATENT = 2
images = torch.tensor(load_digits().data[:100] / 16).float()
noise = torch.randn(len(images), LATENT, generator=torch.Generator().manual_seed(0))


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 2 * LATENT))
        self.decoder = nn.Sequential(nn.Linear(LATENT, 8), nn.Tanh(), nn.Linear(8, 64))

    def forward(self, images, noise=None):
        mean, log_variance = self.encoder(images).chunk(2, 1)
        noise = torch.randn_like(mean) if noise is None else noise
        return self.decoder(mean + (log_variance / 2).exp() * noise), mean, log_variance


def elbo(found, images):
    logits, mean, log_variance = found
    fit = F.binary_cross_entropy_with_logits(logits, images, reduction="none").sum(1).mean()
    return fit + 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(1).mean()


# For landscape
problem = ls.Problem(build=VAE, loss_fn=elbo, train=((images, noise), images))

# To check it
make_model, data = VAE, (images, noise)


def whole(model, data):
    return elbo(model(*data), data[0])
