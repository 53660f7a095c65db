"""Data sets are told apart by their values, alike in every process; what has no value has no digest."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

import landscape as ls
from landscape.objective.batches import Batches
from tests.support.batches import (
    OTHERS,
    Carrier,
    X,
    Y,
    make_linear,
)


def test_two_different_data_sets_never_have_one_digest():
    digests = [Batches([data]).digest() for data in OTHERS]
    assert len(set(digests)) == len(OTHERS)
    assert digests == [Batches([copy.deepcopy(data)]).digest() for data in OTHERS]


def test_equal_data_sets_have_equal_digests_in_another_process():
    code = (
        "from tests.support.batches import OTHERS\nfrom landscape.objective.batches import Batches\n"
        "print(*(Batches([data]).digest() for data in OTHERS))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert said.stdout.split() == [Batches([data]).digest() for data in OTHERS]


def test_pairs_of_tensors_keep_the_digest_that_stored_results_have():
    x, y = torch.arange(6, dtype=torch.float32).reshape(3, 2), torch.tensor([0, 1, 1])
    assert Batches((x, y)).digest() == "b0cd231835fcc45ddb6dc6e26728a9645d349ebb05de80f3825988c0764a25fc"
    assert Batches([(x[:2], y[:2]), (x[2:], y[2:])]).digest() == Batches((x, y)).digest()


def test_what_has_no_value_has_no_digest():
    batch = Carrier(x=X, y=Y, transform=lambda x: x)
    objective = ls.Objective.from_loss(make_linear(), lambda m, b: F.cross_entropy(m(b.x), b.y), [batch])
    assert objective.loss() > 0
    with pytest.raises(ls.ObjectiveError, match=r"a function \(at Carrier.transform\), which has no value"):
        objective.digest()


def test_a_loss_that_is_a_partial_function_has_one_name_in_every_process():
    from functools import partial

    loss = partial(F.cross_entropy, label_smoothing=0.1)
    objective = ls.Objective(make_linear(), loss, (X, Y))
    assert "0x" not in objective.loss_name
    assert "label_smoothing=0.1" in objective.loss_name
