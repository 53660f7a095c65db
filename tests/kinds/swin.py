"""Image classifier of transformers: Swin, with its logits and their classes."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from transformers import SwinConfig, SwinForImageClassification

import landscape as ls

config = SwinConfig(
    image_size=8,
    patch_size=2,
    num_channels=1,
    embed_dim=4,
    depths=[1, 1],
    num_heads=[1, 2],
    window_size=2,
    mlp_ratio=2.0,
    num_labels=10,
)
digits = load_digits()
pixels = torch.tensor(digits.images[:80, None] / 16).float()
batch = {"pixel_values": pixels, "labels": torch.tensor(digits.target[:80])}


def make_model():
    return SwinForImageClassification(config)


# For landscape
problem = ls.Problem(
    build=make_model,
    outputs=lambda model, batch: model(batch["pixel_values"]).logits,
    loss=lambda logits, batch: F.cross_entropy(logits, batch["labels"]),
    targets=lambda batch: batch["labels"],
    train=batch,
)

# To check it
data = batch


def whole(model, data):
    return model(**data).loss
