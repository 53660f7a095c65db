"""Data frames in (inputs, targets) are their numbers; what is no number is refused with the columns' own words."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

import landscape as ls

HOUSES = pd.DataFrame(
    {
        "area": [70.0, 52.0, 120.0, 33.0, 81.0],
        "rooms": [3, 2, 5, 1, 3],
        "garden": [True, False, True, False, False],
        "district": ["hills", "north", "hills", "port", "port"],
    }
)
NUMBERS = (pd.get_dummies(HOUSES) / 100).astype({"rooms": float})
KIND = pd.Series([0, 1, 0, 2, 1], name="kind")


def make_model():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return torch.nn.Linear(6, 3)


def test_columns_of_numbers_and_of_yes_and_no_are_inputs():
    mixed = NUMBERS.assign(garden=HOUSES["garden"])  # which NumPy holds as objects
    assert mixed.to_numpy().dtype == object
    model = make_model()
    x = torch.tensor(mixed.astype("float32").values)
    truth = float(F.cross_entropy(model(x), torch.tensor(KIND.values)).detach())
    objective = ls.Objective(model, F.cross_entropy, (mixed, KIND))
    assert objective.num_examples == 5
    assert objective.loss() == pytest.approx(truth, rel=1e-6)
    problem = ls.Problem(build=make_model, loss_fn=F.cross_entropy, train=(mixed, KIND))
    assert problem.objective(model).digest() == objective.digest()
    assert torch.equal(problem.examples(torch.tensor([3, 1]))[1], torch.tensor([2, 1]))


def test_text_is_refused_by_what_stands_there():
    with pytest.raises(ls.ObjectiveError, match="a DataFrame in the data is not all numbers.*'hills'.*get_dummies"):
        ls.Objective(make_model(), F.cross_entropy, (HOUSES, KIND))


def test_a_gap_is_refused_by_its_row():
    gap = NUMBERS.copy()
    gap.loc[3, "area"] = float("nan")
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 0 of 1, example 3 of 5"):
        ls.Objective(make_model(), F.cross_entropy, (gap, KIND))
