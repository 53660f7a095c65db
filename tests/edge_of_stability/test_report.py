"""The table of all measures beside their thresholds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn, optim

import landscape as ls
from landscape.errors import CheckpointError, UsageError
from landscape.training import train
from tests.support.known_hessians import uneven_least_squares
from tests.support.stepped import network, stepped
from tests.support.trainings import small


def test_of_gradient_descent_every_ratio_is_known():
    """Least squares: λ_max and curvature along g from the dense matrix, all over 2/η."""
    objective, _ = uneven_least_squares()
    H, g = ls.HessianOperator(objective).dense().numpy(), objective.gradient().numpy()
    top = np.linalg.eigvalsh(H)[-1]
    lr = 0.98 * 2 / top
    found = ls.stability(objective, optimizer=optim.SGD(objective.module.model.parameters(), lr=lr), batch_size=10)
    along = g @ H @ g / (g @ g)
    assert found["lambda_max"].ratio == pytest.approx(0.98, rel=1e-3)
    assert found["critical_sharpness"].ratio == pytest.approx(along * lr / 2, rel=0.02)
    assert found["directional_sharpness"].ratio == pytest.approx(along * lr / 2, rel=1e-6)
    assert found["batch_sharpness"].ratio == pytest.approx(along * lr / 2, rel=1e-6)
    assert found.absent == ("preconditioned_sharpness", "generalized_sharpness")
    assert "0.98 × 2/η" in str(found)


@pytest.mark.parametrize(
    ("name", "decisive"),
    [("momentum", "lambda_max"), ("AdamW", "preconditioned_sharpness"), ("Lion", "generalized_sharpness"),
     ("Muon", "generalized_sharpness")],
)  # fmt: skip
def test_each_optimizer_has_the_measure_that_decides_for_it(name, decisive):
    objective, model, _, optimizer = stepped(name)
    before = [p.detach().clone() for p in model.parameters()]
    found = ls.stability(objective, optimizer=optimizer, batch_size=6)
    assert np.isfinite(found[decisive].ratio)
    assert np.isfinite(found["critical_sharpness"].ratio)
    assert np.isnan(found["batch_sharpness"].ratio)
    assert all(torch.equal(p, q) for p, q in zip(before, model.parameters(), strict=True))
    others = {"lambda_max", "preconditioned_sharpness", "generalized_sharpness"} - {decisive}
    for other in others - set(found.absent):
        assert np.isnan(found[other].ratio)


def test_parts_agree_with_what_their_functions_say():
    objective, _, _, optimizer = stepped("AdamW")
    found = ls.stability(objective, optimizer=optimizer, batch_size=6)
    update = ls.optimizer_update(objective, optimizer)
    critical = ls.critical_sharpness(objective, update)
    assert found["critical_sharpness"].value == pytest.approx(critical.value, rel=0.02)
    assert found["critical_sharpness"].threshold == pytest.approx(200.0)
    along = ls.directional_sharpness(objective, update)
    assert found["directional_sharpness"].value == pytest.approx(along.value, rel=1e-6)
    assert found["directional_sharpness"].threshold == pytest.approx(along.threshold(0.01))
    preconditioned = ls.preconditioned_sharpness(objective, optimizer)
    assert found["preconditioned_sharpness"].value == pytest.approx(preconditioned.value, rel=0.02)


def test_a_checkpoint_says_everything_itself(tmp_path):
    last = train(small(), tmp_path / "run", optimizer="adam", epochs=2, batch_size=16, seed=0)
    found = ls.stability(last)
    assert (found.step, found.batch_size, found.optimizer) == (last.step, 16, "Adam")
    assert found.lr == pytest.approx(last.optimizer_state()["param_groups"][0]["lr"])
    assert {"lambda_max", "preconditioned_sharpness", "critical_sharpness", "batch_sharpness",
            "directional_sharpness"} == set(found.measures)  # fmt: skip
    again = ls.stability(str(last.path))
    np.testing.assert_allclose(again.values, found.values, rtol=1e-5)  # the route of products is chosen by the clock
    frame = found.to_dataframe()
    assert list(frame["measure"]) == list(found.measures)
    assert {"value", "error", "threshold", "ratio", "rule", "converged"} <= set(frame.columns)


def test_what_does_not_apply_is_absent_with_its_reason(tmp_path):
    model, data = network()
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    found = ls.stability(objective, optimizer=optim.Adam(model.parameters(), lr=0.0))
    why = dict(zip(found.absent, found.reasons, strict=True))
    assert "batch_size=" in why["batch_sharpness"]
    assert "has not made a step" in why["preconditioned_sharpness"]
    assert "pass lr=" in why["critical_sharpness"]
    with pytest.raises(KeyError, match="batch_size="):
        found["batch_sharpness"]
    assert "— how large the batches are is not known" in str(found)
    asked = ls.stability(objective, optimizer=optim.Adam(model.parameters(), lr=0.0), lr=0.01, batch_size=8)
    assert asked.lr == 0.01
    assert asked["critical_sharpness"].threshold == pytest.approx(200.0)


def test_what_cannot_be_said_anything_of_is_refused(tmp_path):
    model, data = network()
    objective = ls.Objective(model, nn.functional.cross_entropy, data, check=False)
    with pytest.raises(UsageError, match="pass optimizer="):
        ls.stability(objective)
    with pytest.raises(UsageError, match="not a Sequential"):
        ls.stability(model)
    with pytest.raises(CheckpointError):
        ls.stability(tmp_path / "nothing.h5")


def test_only_the_measures_that_are_wanted_are_made_by_as_many_batches_as_asked():
    objective, _, _, optimizer = stepped("AdamW")
    everything = ls.stability(objective, optimizer=optimizer, batch_size=6)
    some = ls.stability(
        objective, optimizer=optimizer, batch_size=6, num_batches=5, measures=("batch_sharpness", "critical_sharpness")
    )
    assert (some.measures, some.absent) == (("critical_sharpness", "batch_sharpness"), ())
    assert some["critical_sharpness"] == everything["critical_sharpness"]
    alone = ls.batch_sharpness(objective, batch_size=6, num_batches=5)
    assert (some["batch_sharpness"].value, some["batch_sharpness"].error) == (alone.value, alone.sem)
    assert some["batch_sharpness"].converged
    losses = (some.products - 0.5 - alone.products) * 6
    assert 4 <= round(losses) <= 12
    assert some.products < everything.products
    with pytest.raises(UsageError, match="measures='sharpness' is not one of 'lambda_max'"):
        ls.stability(objective, optimizer=optimizer, measures=("sharpness",))
