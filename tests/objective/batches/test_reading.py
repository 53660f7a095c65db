"""Datasets are batched as a loader would, and what is no data is refused with the way out."""

from __future__ import annotations

from collections import UserDict

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import landscape as ls
from tests.support.batches import (
    X,
    Y,
    assert_right,
    hessian_by_differences,
    make_linear,
)


class Mapped(Dataset):
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return {"x": X[index], "y": int(Y[index]), "file": f"{index}.png"}


class Streamed(IterableDataset):
    def __iter__(self):
        return iter([{"x": x, "y": y} for x, y in zip(X, Y, strict=True)])


@pytest.mark.parametrize("data", [Mapped(), Streamed(), Subset(Mapped(), range(11))], ids=["map", "iterable", "subset"])
def test_a_dataset_is_batched_as_a_loader_would(data, curvature):
    def loss(model, batch):
        return F.cross_entropy(model(batch["x"]), batch["y"])

    objective = ls.Objective.from_loss(make_linear(), loss, data)
    loaded = ls.Objective.from_loss(make_linear(), loss, DataLoader(data, batch_size=4))
    assert objective.num_examples == 11
    assert objective.digest() == loaded.digest()
    assert_right(objective, curvature)


def test_a_dataset_of_tensors_is_its_tensors(curvature):
    objective = ls.Objective(make_linear(), F.cross_entropy, TensorDataset(X, Y))
    assert objective.digest() == ls.Objective(make_linear(), F.cross_entropy, (X, Y)).digest()
    assert_right(objective, curvature)
    one_feature = TensorDataset(X[:, :1], X[:, 1:2])  # examples that unpack like (inputs, targets)
    objective = ls.Objective(make_linear(1, 1), F.mse_loss, one_feature)
    expected = hessian_by_differences(make_linear(1, 1), lambda m: F.mse_loss(m(X[:, :1].double()), X[:, 1:2].double()))
    assert_right(objective, expected)


class Ragged(Mapped):
    def __getitem__(self, index):
        return X[index, : 1 + index % 2], 0


class Opaque(Mapped):
    def __getitem__(self, index):
        return object(), 0


class Unmarked:
    def __len__(self):
        return 11

    def __getitem__(self, index):
        return X[index % 11], Y[index % 11]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Ragged(), r"Ragged do not stack into a batch .*collate_fn"),
        (Opaque(), r"Opaque do not stack into a batch .*collate_fn"),
        (Unmarked(), r"Unmarked can be indexed but says neither"),
        ("digits.npz", "data of type str cannot be read"),
        (None, "data of type NoneType cannot be read"),
        ([X, Y], r"bare tensors of different shapes .*tuple"),
        (X, r"\(inputs, targets\).*Tensor, without targets.*from_loss"),
        (X[:2], r"\(inputs, targets\).*Tensor, without targets.*a tuple is one"),
        ([X[:4], X[4:]], r"\(inputs, targets\).*Tensor, without targets.*a tuple is one"),
        ((X,), r"\(inputs, targets\).*tuple of 1.*from_loss"),
        ({"x": X, "y": Y}, r"\(inputs, targets\).*dict with x, y.*from_loss"),
        ([UserDict(x=X, y=Y)], r"\(inputs, targets\).*UserDict with x, y.*from_loss"),
        ((X, None), r"no targets.*from_loss"),
        (((255 * X.abs()).to(torch.uint8), Y), r"integers \(uint8, int64\).*x.float\(\) / 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_data_for_output_and_target_is_refused_with_the_way_out(data, message):
    with pytest.raises(ls.ObjectiveError, match=message):
        ls.Objective(make_linear(), F.cross_entropy, data)


def test_integer_images_are_refused_before_a_convolution_and_integer_targets_before_a_regression():
    with torch.random.fork_rng():
        model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 2), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    images = torch.randint(256, (11, 1, 3, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ls.ObjectiveError, match=r"integers \(uint8, int64\).*x.float\(\) / 255"):
        ls.Objective(model, F.cross_entropy, (images, Y))
    labels = F.one_hot(Y, 2)
    with pytest.raises(ls.ObjectiveError, match=r"integers \(int64\).*other numbers as x.float\(\)"):
        ls.Objective(make_linear(), F.binary_cross_entropy_with_logits, (X, labels))


def test_complex_data_stay_complex_and_their_imaginary_nan_is_found():
    z = torch.complex(X, X.flip(0))
    seen = []

    def loss(model, batch):
        seen.append(batch.dtype)
        return model(batch.abs()).square().mean()

    objective = ls.Objective.from_loss(make_linear(), loss, z)
    assert_right(objective, hessian_by_differences(make_linear(), lambda m: m(z.abs().double()).square().mean()))
    objective.with_dtype(torch.float64).loss()
    assert set(seen) == {torch.complex64, torch.complex128}
    z[4, 1] = complex(0, float("nan"))
    with pytest.raises(ls.ObjectiveError, match="NaN or infinity, first in batch 0 of 1, example 4 of 11"):
        ls.Objective.from_loss(make_linear(), loss, z)
