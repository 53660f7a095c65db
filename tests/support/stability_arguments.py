"""The numbers that the measures of stability take, by the kind of number that they are: part of a table of all."""

from __future__ import annotations

from typing import Any

import torch

import landscape as ls


def rows(objective: ls.Objective) -> dict[str, Any]:
    """What is called → (a call of it with such arguments, argument → kind)."""
    sgd = torch.optim.SGD(objective.module.model.parameters(), lr=0.1)
    return {
        "optimizer_update": (lambda **g: ls.optimizer_update(objective, sgd, **g), {"lr": "positive", "seed": "seed"}),
        "critical_sharpness": (
            lambda **g: ls.critical_sharpness(objective, objective.gradient(), strict=False, **g),
            {"start": "positive", "tol": "share", "max_losses": "count"},
        ),
        "batch_sharpness": (
            lambda **g: ls.batch_sharpness(objective, **{"batch_size": 2, "strict": False} | g),
            {"batch_size": "count", "num_batches": "count", "tol": "share", "atol": "not negative",
             "max_batches": "count", "seed": "seed"},
        ),
        "preconditioned_sharpness": (
            lambda **g: ls.preconditioned_sharpness(objective, sgd, **g),
            {"tol": "share", "max_matvecs": "count", "seed": "seed"},
        ),
        "generalized_sharpness": (
            lambda **g: ls.generalized_sharpness(objective, norm="linf", strict=False, **g),
            {"starts": "count", "steps": "count", "tol": "share", "seed": "seed"},
        ),
        "stability": (
            lambda **g: ls.stability(objective, optimizer=sgd, **g),
            {"batch_size": "count", "num_batches": "count", "lr": "positive", "tol": "share", "seed": "seed"},
        ),
    }  # fmt: skip
