"""The table itself: nothing of the caller's changes, it prints, comes back from disk, and refuses odd questions."""

from __future__ import annotations

import copy
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.errors import UsageError
from landscape.results import Crosscheck
from landscape.results.crosscheck import AGREES, DISAGREES, EXPLAINED, NOT_RUN
from landscape.witness import causes, stopping, verdicts
from tests.support.known_hessians import normalised_network, uneven_least_squares
from tests.support.roundtrip import written_and_read

CHEAP = ("float64", "probes")


def a_table(**changes):
    columns = {
        "quantities": ("λ1", "trace", "line", "—"), "witnesses": ("A", "A", "B", "C"),
        "ours": np.array([1.0, 2, 3, np.nan]),
        "ours_error": np.array([0.1, np.nan, 0.0, np.nan]), "theirs": np.array([1.05, 2.5, 9.0, np.nan]),
        "theirs_error": np.full(4, np.nan), "difference": np.array([0.05, 0.5, 6.0, np.nan]),
        "allowed": np.array([0.1, 0.1, 0.0, np.nan]), "verdicts": (AGREES, EXPLAINED, DISAGREES, NOT_RUN),
        "causes": ("", "it stopped <early>", "no known cause", "not installed"), "versions": ("a 1.0",),
        "num_parameters": 3, "num_examples": 5, "num_matvecs": 7, "seed": 0,
    }  # fmt: skip
    return Crosscheck(**columns | changes)


def test_nothing_of_the_callers_changes():
    objective = normalised_network()
    model = objective.module.model
    model[0].bias.grad = torch.ones(4, dtype=torch.float64)
    model[1].weight.requires_grad_(True)
    model.train()
    before = copy.deepcopy(model.state_dict())
    eig = getattr(torch, "eig", None)
    ls.crosscheck(objective)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert [name for name, p in model.named_parameters() if p.grad is not None] == ["0.bias"]
    assert torch.equal(model[0].bias.grad, torch.ones(4, dtype=torch.float64))
    assert all(p.requires_grad for p in model.parameters())
    assert all(part.training for part in model.modules())
    assert getattr(torch, "eig", None) is eig


def test_pyhessian_is_as_it_was_afterwards():
    pytest.importorskip("pyhessian")
    import sys

    home = sys.modules["pyhessian.hessian"]
    before = home.hessian_vector_product, home.orthnormal
    ls.crosscheck(uneven_least_squares()[0], witnesses=["pyhessian"])
    assert (home.hessian_vector_product, home.orthnormal) == before


def test_it_comes_back_from_disk_and_as_a_data_frame(tmp_path):
    for table in (a_table(), ls.crosscheck(uneven_least_squares()[0], witnesses=CHEAP)):
        back = written_and_read(table, tmp_path)
        assert back.to_dataframe().equals(table.to_dataframe())
        assert len(back.to_dataframe()) == len(table.verdicts)
        assert back.versions == table.versions


def test_a_table_prints_each_cause_once_and_marks_what_disagrees():
    text = str(a_table())
    assert "explained [1]" in text
    assert "[1] it stopped <early>" in text
    assert "DISAGREES [2]" in text
    assert "3 comparisons with 2 witnesses: 1 agree, 1 differ for a cause that was recomputed, 1 DISAGREE" in text
    assert "&lt;early&gt;" in a_table()._repr_html_()


def test_a_difference_where_none_is_allowed_is_infinitely_more_than_that():
    assert [row.ratio for row in a_table().rows[:3]] == [0.5, 5.0, float("inf")]
    assert not a_table().stands
    assert a_table(verdicts=(AGREES, EXPLAINED, EXPLAINED, NOT_RUN)).stands


@pytest.mark.parametrize("changes", [{"verdicts": (AGREES,) * 3}, {"verdicts": ("fine",) * 4}, {"causes": ()}])
def test_columns_that_do_not_go_together_are_refused(changes):
    with pytest.raises(ValueError, match="do not go together"):
        a_table(**changes)


def test_a_cause_that_raises_explains_nothing():
    def broken() -> str:
        raise RuntimeError("no")

    row = verdicts.judge("A", "x", 1.0, 2.0, ours_error=0.1, causes=[broken])
    assert row.verdict == DISAGREES
    assert verdicts.judge("A", "x", 1.0, 2.0, ours_error=0.1, causes=[broken, lambda: "why"]).cause == "why"


def test_what_is_no_number_agrees_with_nothing():
    assert verdicts.judge("A", "x", 1.0, float("nan"), ours_error=1e9).verdict == DISAGREES


def test_means_of_pooled_samples_rarely_differ_by_more_than_is_allowed():
    """Three standard errors: of 2,000 pairs from one distribution some 5 may, and 16 would be a chance below 1e-4."""
    generator, beyond = np.random.default_rng(0), 0
    for _ in range(2000):
        ours, theirs = generator.normal(size=16), generator.normal(size=3)
        beyond += abs(ours.mean() - theirs.mean()) > sum(verdicts.mean_reach(ours, theirs))
    assert 1 <= beyond <= 16


def test_an_early_stop_never_explains_a_quotient_beyond_the_end_of_the_spectrum():
    """λ₁ = 3 by us, where the matrix has 5: that another tool stopped early at 5 is no cause."""
    matrix = ls.MatrixOperator(torch.diag(torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64)))
    one = torch.tensor([1.0, 0, 0], dtype=torch.float64)
    too_small, largest = (np.array([3.0]), np.zeros(1)), (np.array([5.0]), np.zeros(1))
    wrong, right = (causes.Side(matrix, side, side, 1e-12) for side in (too_small, largest))
    near = torch.tensor([1.0, 0.2, 0], dtype=torch.float64) / 1.04**0.5
    quotient = float(near @ (matrix @ near))

    def said(side: causes.Side, value: float, vector: torch.Tensor) -> str | None:
        return stopping._on(side, stopping.Eigenvalue(0, value, vector, "it stopped"))

    assert said(wrong, 5.0, one) is None
    assert said(right, quotient, near).startswith("it stopped")
    assert said(right, quotient - 0.1, near) is None  # no quotient of this operator
    assert said(wrong, quotient, near) is None


def test_an_eigenvalue_that_comes_late_because_the_first_stopped_short_is_named():
    """PyHessian's first vector may rest near the second eigenvector; then its second is the first."""
    matrix = ls.MatrixOperator(torch.diag(torch.tensor([5.0, 3.0, 1.0], dtype=torch.float64)))
    both = np.array([5.0, 3.0]), np.zeros(2)
    side = causes.Side(matrix, both, both, 1e-12)
    first, second = torch.eye(3, dtype=torch.float64)[:2]
    late = stopping.Eigenvalue(1, 5.0, first, "it stopped", [3.0], [second])
    assert "5, which comes here instead" in stopping._on(side, late)
    assert stopping._on(side, replace(late, values=[5.0])) is None  # found twice: no known cause


def test_a_quotient_between_two_signs_is_named_only_where_both_signs_are_there():
    u = torch.tensor([0.8, 0.6, 0], dtype=torch.float64)
    for last, named in ((-5.0, True), (-4.0, False)):
        matrix = ls.MatrixOperator(torch.diag(torch.tensor([5.0, last, 1.0], dtype=torch.float64)))
        ends = np.array([5.0]), np.zeros(1)
        magnitudes = np.array([5.0, last]), np.zeros(2)
        quotient = float(u @ (matrix @ u))
        found = stopping.Eigenvalue(0, quotient, u, "it stopped", further=lambda: (0.0, 0.0))
        side = causes.Side(matrix, ends, magnitudes, 1e-12)
        assert ("cannot separate" in (stopping._between_signs(side, found) or "")) == named


def test_odd_questions_are_refused():
    with pytest.raises(UsageError, match="witnesses='scipy' is not one of"):
        ls.crosscheck(uneven_least_squares()[0], witnesses=["scipy"])
    with torch.random.fork_rng(devices=[]):
        lonely = ls.Objective(torch.nn.Linear(1, 1, bias=False), torch.nn.functional.mse_loss, (torch.ones(4, 1),) * 2)
    with pytest.raises(UsageError, match="at least two"):
        ls.crosscheck(lonely)


def test_constants_other_than_the_models_are_refused_and_not_measured_wrongly():
    objective = normalised_network()
    other = objective.with_constants({"4.running_mean": torch.ones(3, dtype=torch.float64)})
    table = ls.crosscheck(other, witnesses=["float64", "pyhessian"])
    assert set(table.verdicts) == {NOT_RUN}
    assert "other constants" in table.causes[0]


def test_a_part_of_the_parameters_is_compared_with_tools_that_freeze_the_rest():
    objective = normalised_network().restricted("0.*")
    table = ls.crosscheck(objective)
    assert table.stands, str(table)
    assert table.num_parameters == 16
    assert json.dumps(table.summary())
