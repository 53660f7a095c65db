"""LoRA (PEFT): the adapters of a frozen network are θ, all else stands still."""

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from sklearn.datasets import load_digits
from torch import nn

import landscape as ls

digits = load_digits()
x, y = torch.tensor(digits.data[:150] / 16).float(), torch.tensor(digits.target[:150])


def make_model():
    base = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return get_peft_model(base, LoraConfig(r=4, lora_alpha=8, target_modules=["0", "2"]))


# For landscape
problem = ls.Problem(build=make_model, loss_fn=F.cross_entropy, train=(x, y), params="*lora*")

# To check it
data = x, y


def whole(model, data):
    return F.cross_entropy(model(data[0]), data[1])
