"""The curvature of all eleven examples, by differences."""

from __future__ import annotations

import pytest
import torch.nn.functional as F

from tests.support.batches import (
    X,
    Y,
    hessian_by_differences,
    make_linear,
)


@pytest.fixture(scope="module")
def curvature():
    return hessian_by_differences(make_linear(), lambda m: F.cross_entropy(m(X.double()), Y))
