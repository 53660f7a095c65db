"""U-Net: a class for every pixel; those of 255 do not count, nor does all of the first image."""

import torch
import torch.nn.functional as F
from torch import nn

import landscape as ls

UNKNOWN = 255
draw = torch.Generator().manual_seed(0)
images = F.avg_pool2d(torch.randn(24, 1, 20, 20, generator=draw), 5, stride=1)
classes = (images[:, 0] > -0.1).long() + (images[:, 0] > 0.1).long()
classes[torch.rand(classes.shape, generator=draw) < 0.2] = UNKNOWN
classes[0] = UNKNOWN


class UNet(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.down = nn.Conv2d(1, width, 3, padding=1)
        self.bottom = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.head = nn.Conv2d(2 * width, 3, 3, padding=1)

    def forward(self, x):
        skip = F.silu(self.down(x))
        inner = F.silu(self.bottom(F.max_pool2d(skip, 2)))
        return self.head(torch.cat([skip, F.silu(self.up(inner))], 1))


def loss_fn(output, target):
    return F.cross_entropy(output, target, ignore_index=UNKNOWN)


# For landscape
problem = ls.Problem(
    build=UNet,
    loss_fn=loss_fn,
    weight=lambda batch: (batch[1] != UNKNOWN).sum(),
    train=(images, classes),
)

# To check it
make_model, data = UNet, (images, classes)


def whole(model, data):
    return loss_fn(model(data[0]), data[1])
