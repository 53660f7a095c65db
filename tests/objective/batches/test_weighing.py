"""``weight(batch)`` may give any kind of number, whatever the batches are, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import landscape as ls

PAD = -100


def batches(*, ragged):
    """Batches padded to different lengths, which stay as they come, or to one, which join."""
    draw = torch.Generator().manual_seed(0)
    made = []
    for size, length in ((4, 3), (5, 6 if ragged else 3)):
        targets = torch.randint(4, (size, length), generator=draw)
        targets[1, 1:] = PAD
        made.append({"x": torch.randn(size, length, 2, generator=draw), "y": targets})
    return made


def loss(model, batch):
    return F.cross_entropy(model(batch["x"]).flatten(0, 1), batch["y"].flatten(), ignore_index=PAD)


def make_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Linear(2, 4)


COUNTS = {
    "int": lambda count: int(count),
    "tensor": lambda count: count,
    "tensor of one entry": lambda count: count.reshape(1),
    "NumPy": lambda count: np.int64(count),
    "array of one entry": lambda count: count.reshape(1).numpy(),
}


@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "joined"])
@pytest.mark.parametrize("kind", COUNTS)
def test_a_count_of_any_type_is_a_weight(ragged, kind):
    model, data = make_model(), batches(ragged=ragged)
    logits = torch.cat([model(batch["x"]).flatten(0, 1) for batch in data])
    truth = float(F.cross_entropy(logits, torch.cat([batch["y"].flatten() for batch in data])).detach())

    def weight(batch):
        return COUNTS[kind]((batch["y"] != PAD).sum())

    objective = ls.Objective.from_loss(model, loss, data, weight=weight)
    assert objective.loss() == pytest.approx(truth, rel=1e-6)
    problem = ls.Problem(build=make_model, loss=loss, train=data, weight=weight)
    assert problem.objective(model).loss() == pytest.approx(truth, rel=1e-6)


@pytest.mark.parametrize("ragged", [True, False], ids=["ragged", "joined"])
@pytest.mark.parametrize(
    ("weight", "said"),
    [
        (lambda batch: batch["y"] != PAD, r"gave a Tensor of shape \(\d, \d\); it must give one number"),
        (lambda batch: None, "gave a NoneType; it must give one number"),
        (lambda batch: float("nan"), "gave nan"),
        (lambda batch: -len(batch["x"]), "must count what the mean runs over"),
    ],
)
def test_what_is_no_count_is_refused(ragged, weight, said):
    with pytest.raises(ls.ObjectiveError, match=said):
        ls.Objective.from_loss(make_model(), loss, batches(ragged=ragged), weight=weight)
