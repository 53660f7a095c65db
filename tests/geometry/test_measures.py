"""The list of measures, and what it claims: each is measured on networks that are equal, or predict the same."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.geometry.sharpness.definitions import MEASURES
from landscape.store import catalogue
from tests.support.landscapes import DOUBLE, LeastSquares, built, draw

#: Fewer steps than by default, for what walks; the same on both sides.
SHORT = {"llc": {"steps": 250}}
#: Where a measure follows a change, it is by more than this factor; all measures are of the same draws.
VISIBLE = {"layers": 1.5, "logits": 1.1}


@pytest.fixture(scope="module")
def trained() -> ls.Objective:
    """A ReLU network with biases after 150 steps of Adam: training loss about 0.1."""
    x = torch.cat([draw(30, 4, seed=s) + 1.5 * draw(1, 4, seed=10 + s) for s in range(4)])
    y = torch.arange(120) // 30
    model = built(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return ls.Objective(model, nn.functional.cross_entropy, (x, y))


def measured(
    objective: ls.Objective, name: str, theta: torch.Tensor | None = None, *, normalize: bool = False
) -> float:
    how = {"theta": theta, "normalize_logits": normalize, "strict": False} | SHORT.get(name, {})
    return ls.sharpness(objective, measure=name, **how).value


def scaled(objective: ls.Objective, factors: dict[str, float]) -> torch.Tensor:
    named = objective.layout.unflatten(objective.theta)
    assert factors.keys() <= named.keys()
    return objective.layout.flatten({name: t * factors.get(name, 1.0) for name, t in named.items()})


def stays_or_moves(before: float, after: float, row, change: str) -> None:
    if change in row.invariant_to:
        assert after == pytest.approx(before, rel=1e-6)
    else:
        assert abs(math.log(after / before)) > math.log(VISIBLE[change])


@pytest.mark.parametrize("row", ls.measures(), ids=lambda row: row.name)
def test_an_equal_network_has_the_same_measure_where_that_is_claimed(trained, row):
    """Dinh et al. 2017: the first layer times 20, the weights of the second by 20."""
    equal = scaled(trained, {"0.weight": 20.0, "0.bias": 20.0, "2.weight": 1 / 20})
    assert trained.loss(equal) == pytest.approx(trained.loss(), rel=1e-10)
    before, after = measured(trained, row.name), measured(trained, row.name, equal)
    stays_or_moves(before, after, row, "layers")


@pytest.mark.parametrize("row", ls.measures(), ids=lambda row: row.name)
def test_a_factor_on_the_logits_leaves_a_measure_where_that_is_claimed(trained, row):
    """Three times the last layer, which leaves every prediction."""
    tripled = scaled(trained, {"2.weight": 3.0, "2.bias": 3.0})
    before, after = measured(trained, row.name), measured(trained, row.name, tripled)
    stays_or_moves(before, after, row, "logits")


@pytest.mark.parametrize("row", ls.measures(), ids=lambda row: row.name)
def test_of_normalised_logits_a_measure_stays_where_that_is_claimed(trained, row):
    tripled = scaled(trained, {"2.weight": 3.0, "2.bias": 3.0})
    before = measured(trained, row.name, normalize=True)
    after = measured(trained, row.name, tripled, normalize=True)
    if "logits" in row.invariant_with_normalized_logits:
        assert after == pytest.approx(before, rel=1e-6)
    else:
        assert abs(after / before - 1) > 0.01


FORMULAS = {
    "lambda_max": lambda H, w: np.linalg.eigvalsh(H)[-1],
    "trace": lambda H, w: np.trace(H),
    "worst": lambda H, w: 0.05**2 / 2 * np.linalg.eigvalsh(H)[-1],
    "average": lambda H, w: 0.05**2 / 2 * np.trace(H),
    "adaptive_worst": lambda H, w: 0.5**2 / 2 * np.linalg.eigvalsh(w[:, None] * H * w)[-1],
    "adaptive_average": lambda H, w: 0.1**2 / 2 * H.diagonal() @ w**2,
    "keskar": lambda H, w: 100 * 1e-6 / 2 * (np.abs(w) + 1) ** 2 @ H.diagonal(),
    "relative_flatness": lambda H, w: w @ w * np.trace(H),
    "fisher_rao": lambda H, w: w @ H @ w,
    "flatness_radius": lambda H, w: math.sqrt(0.2 / np.trace(H)),
    "flatness_radius_magnitude": lambda H, w: math.sqrt(0.2 / (H.diagonal() @ w**2)),
    "llc": lambda H, w: (lambda h: (h / (2 * (h + 100))).sum())(13 / math.log(13) * np.linalg.eigvalsh(H)),
}


@pytest.mark.parametrize("name", [row.name for row in ls.measures()])
@pytest.mark.parametrize("dtype", [DOUBLE, torch.float32])
def test_of_a_quadratic_each_is_its_formula(name, dtype):
    """Axes are eigenvectors, so that a cube's corner is known; what is drawn lies within its error."""
    problem = LeastSquares(dtype=dtype, diagonal=True)
    truth = float(FORMULAS[name](problem.hessian, problem.minimum.numpy()))
    found = ls.sharpness(problem.objective, measure=name, theta=problem.minimum)
    random = found.kind == "estimate" and name != "lambda_max"
    assert found.value == pytest.approx(
        truth, rel=1e-3 if name == "lambda_max" else 1e-5, abs=4 * found.error if random else 0
    )


def test_every_measure_is_in_the_list_and_says_what_its_records_say():
    table = ls.measures()
    assert table.names == tuple(MEASURES)
    assert set(FORMULAS) == set(table.names)
    objective = LeastSquares(diagonal=True).objective
    for row in table:
        found = ls.sharpness(objective, measure=row.name, strict=False, **SHORT.get(row.name, {}))
        assert found.reference.startswith(row.reference)
        kinds = {"estimate", "exact"} if row.answer == "estimate" else {row.answer}
        assert found.kind in kinds, "few parameters may make an estimate exact"
        assert (row.radius is None) == math.isnan(found.rho)
        assert row.radius is None or found.rho == row.radius


def test_the_store_says_the_same_of_what_is_stored():
    """It knows nothing of torch, so that it has a list of its own; the two must not part."""
    stored = {name: catalogue.MEASURES[key] for name in MEASURES
              if (key := catalogue.sharpness_record(name)) in catalogue.MEASURES}  # fmt: skip
    stored |= {name: catalogue.MEASURES[name] for name in ("lambda_max", "trace")}
    assert {*stored} >= {*MEASURES} - {"llc"}, "dear, and not measured by an analysis"
    for name, measure in stored.items():
        definition = MEASURES[name]
        assert measure.is_flatness
        assert measure.is_invariant_to_layers == ("layers" in definition.invariant_to()), name
        assert measure.is_invariant_to_logits == ("logits" in definition.invariant_to()), name
        assert measure.is_bound == (definition.answer == "lower bound"), name


def test_the_list_prints_as_a_table_in_a_terminal_and_in_a_notebook():
    table = ls.measures()
    lines = str(table).splitlines()
    assert lines[0].split()[:3] == ["measure", "invariant", "to"]
    assert len(lines) == len(table) + 4
    assert any(line.startswith("adaptive_worst") and "layers, logits*" in line for line in lines)
    assert table._repr_html_().count("<tr>") == len(table) + 1
    frame = table.to_dataframe()
    assert frame.loc["worst", "radius"] == 0.05
    assert frame.loc["trace", "invariant_to"] == ""
    assert [row.name for row in table[:2]] == ["lambda_max", "trace"]
    assert all(text for text in frame["cost"])
