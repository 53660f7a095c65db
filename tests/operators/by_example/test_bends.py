"""Whether R has a diagonal: seen from few examples, and held against dense Hessians."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from landscape.estimators import trace
from landscape.objective import Objective
from landscape.operators import GaussNewtonOperator, HessianOperator
from landscape.operators.by_example import SumsOverExamples


class Shared(nn.Module):
    """One layer used twice, with a kink between: not linear in its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layer(self.layer(x).relu()).relu())


def objective(kind: str) -> Objective:
    between = {"relu": nn.ReLU, "leaky": nn.LeakyReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "hardswish": nn.Hardswish}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        x, y = torch.randn(30, 5).double(), torch.randint(0, 3, (30,))
        if kind == "shared":
            model: nn.Module = Shared()
        elif kind == "normalised":
            model = nn.Sequential(nn.Linear(5, 4), nn.LayerNorm(4), nn.ReLU(), nn.Linear(4, 3))
        elif kind == "convolutions":
            model = nn.Sequential(
                nn.Unflatten(1, (1, 5)), nn.Conv1d(1, 3, 2), nn.BatchNorm1d(3), nn.ReLU(), nn.MaxPool1d(2),
                nn.Flatten(), nn.Dropout(), nn.Linear(6, 3),
            ).eval()  # fmt: skip
        else:
            model = nn.Sequential(nn.Linear(5, 4), between[kind](), nn.Linear(4, 4), between[kind](), nn.Linear(4, 3))
    return Objective(model.double(), F.cross_entropy, (x, y), check=False, chunk=8)


@pytest.mark.parametrize("kind", ["relu", "leaky", "convolutions", "tanh", "gelu", "hardswish", "shared", "normalised"])
def test_r_is_left_out_exactly_where_its_diagonal_is_zero(kind):
    ours = objective(kind)
    dense = HessianOperator(ours, route="fresh").dense() - GaussNewtonOperator(ours).dense()
    there = float(dense.diagonal().abs().max()) > 1e-12
    assert dense.abs().max() > 1e-4  # R itself is there, beside its diagonal
    assert [term.name for term in SumsOverExamples(ours).terms] == (["G", "R"] if there else ["G"])
    assert there == (kind not in ("relu", "leaky", "convolutions"))


@pytest.mark.parametrize("kind", ["relu", "shared"])
def test_the_trace_is_right_either_way(kind):
    ours = objective(kind)
    H = HessianOperator(ours, route="fresh")
    truth = float(H.dense().trace())
    found = trace(H, method="split", tol=0.05, max_matvecs=60, strict=False)
    assert abs(found.value - truth) <= 5 * found.sem + 1e-9 * abs(truth)
