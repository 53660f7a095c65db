"""Whatever iterates ends in one of a few ways, whose text is the help, and says so in the record and when it raises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.results.endings import Ending

SPREAD = ls.MatrixOperator(np.diag(np.linspace(1.0, 2.0, 200)))
TIED = ls.MatrixOperator(np.diag([3.0, -3.0, 1.0, 0.5]))


def test_every_member_is_found_again_by_its_text_with_numbers_in_it():
    facts = {
        "max_matvecs": 500,
        "low": "-3",
        "high": "3",
        "shift": "0",
        "tol": 0.01,
        "evaluations": 94,
        "max_losses": 5,
        "steps": 40,
        "rhat": "1.020",
        "draws": 35,
        "wanted": 400,
        "chain": 2,
        "step": 17,
        "step_size": "0.1",
        "stability": "5.2",
    }
    for member in Ending:
        assert Ending.of(member.text(**facts)) is member
    assert Ending.of("max_matvecs=500 was reached before " + "x" * 100_000) is None


@pytest.mark.parametrize(
    ("H", "options", "ending"),
    [
        (SPREAD, {}, Ending.CONVERGED),
        (SPREAD, {"max_matvecs": 6}, Ending.OUT_OF_MATVECS),
        (SPREAD, {"method": "power", "max_matvecs": 6}, Ending.OUT_OF_MATVECS),
        (SPREAD, {"method": "lobpcg", "max_matvecs": 6}, Ending.OUT_OF_MATVECS),
        (TIED, {"method": "power", "max_matvecs": 60}, Ending.TIED),
    ],
)
def test_a_record_knows_how_its_iteration_ended(H, options, ending):
    eigs = ls.top_eigenpairs(H, 1, strict=False, **options)
    assert eigs.ending is ending
    assert eigs.converged.all() == (ending is Ending.CONVERGED)
    assert f"max_matvecs={options.get('max_matvecs')}" in eigs.reason or ending is Ending.CONVERGED


def test_a_text_of_another_version_stays_readable():
    eigs = replace(ls.top_eigenpairs(SPREAD, 1), reason="it was getting late")
    assert eigs.ending is None
    assert "it was getting late" in str(eigs)


def objective(loss=torch.nn.functional.mse_loss) -> ls.Objective:
    x = torch.arange(24.0, dtype=torch.float64).reshape(12, 2).sin()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    return ls.Objective(model, loss, (x, x.sum(1, keepdim=True)), check=False)


def wavy(f, y):
    return (torch.sin(20 * f) + 0 * y).mean()


#: What is called with strict=…, and a part of what it must say.
LATE = {
    "top_eigenpairs": (lambda **g: ls.top_eigenpairs(SPREAD, 1, max_matvecs=4, **g), "raise it or loosen tol"),
    "spectrum": (lambda **g: ls.spectrum(SPREAD, k=1, num_steps=3, max_matvecs=4, **g), "raise it or loosen tol"),
    "EigenTracker": (lambda **g: ls.EigenTracker(1, max_matvecs=4, **g).update(SPREAD), "raise it or loosen tol"),
    "trace": (
        lambda **g: ls.trace(objective_hessian(), tol=1e-6, max_matvecs=9, num_probes=4, method="hutchinson", **g),
        "pass eigs= of the largest eigenvalues",
    ),
    "xtrace": (
        lambda **g: ls.trace(SPREAD, tol=1e-9, max_matvecs=9, num_probes=4, method="xtrace", **g), "max_matvecs=9",
    ),
    "block_table": (lambda **g: ls.block_table({"a": SPREAD, "b": TIED}, max_matvecs=3, **g), "λ_max of a"),
    "sharpness worst": (
        lambda **g: ls.sharpness(objective(wavy), measure="worst", rho=3.0, restarts=1, steps=1, **g), "or restarts",
    ),
    "sharpness average": (
        lambda **g: ls.sharpness(objective(lambda f, y: (f - y).log().mean()), measure="average", **g), "a smaller rho",
    ),
}  # fmt: skip


def objective_hessian():
    return ls.HessianOperator(objective())


@pytest.mark.parametrize("name", LATE)
def test_what_does_not_converge_raises_with_the_help_or_is_marked(name):
    call, help_text = LATE[name]
    with pytest.raises(ls.NotConverged, match=help_text) as caught:
        call()
    with pytest.raises(ls.NotConverged):
        call(strict=True)
    marked = call(strict=False)
    assert str(caught.value.partial) == str(marked)
    assert "strict=False" in str(caught.value)
    assert not np.all(getattr(marked, "eigs", marked).converged)
