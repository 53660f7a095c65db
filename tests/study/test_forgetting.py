"""What is forgotten of a first task: on parabolas in closed form, from the checkpoints that hold it, told and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from landscape.checkpoints import CheckpointDir
from landscape.errors import UsageError
from landscape.objective import Objective
from landscape.study import Arm, Forgetting, Study
from landscape.study.forgetting import (
    WORDS,
    correlations,
    draw_forgetting,
    forgetting_quantities,
    forgetting_sentences,
    forgotten,
    measure_forgetting,
    read_forgetting,
)
from tests.support.studies import trained


class Point(nn.Module):
    """A point of the plane, float64."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, rows):
        return self.w.expand(len(rows), 2)


def parabola(curvatures, turn):
    """½ wᵀH w with these eigenvalues, its first eigenvector at an angle."""
    cos, sin = np.cos(turn), np.sin(turn)
    R = torch.tensor([[cos, -sin], [sin, cos]])
    H = R @ torch.diag(torch.tensor(curvatures, dtype=torch.float64)) @ R.T
    data = torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, 2, dtype=torch.float64)
    return Objective(Point(), lambda w, _: 0.5 * ((w @ H) * w).sum(1).mean(), data, dtype=torch.float64), H


def test_on_two_parabolas_every_number_is_the_closed_form():
    first, H = parabola([5.0, 1.0], 0.0)
    other, _ = parabola([4.0, 2.0], 0.7)
    before, after = torch.tensor([0.2, -0.1]).double(), torch.tensor([1.0, 0.5]).double()
    found = forgotten(first, other, before, after, eigs=1)
    rise = float(0.5 * after @ H @ after - 0.5 * before @ H @ before)
    assert found["forgotten"] == pytest.approx(rise)
    assert found["quadratic"] == pytest.approx(rise)  # the model of a parabola is the parabola
    assert found["lambda_max"] == pytest.approx(5.0)
    assert found["overlap"] == pytest.approx(np.cos(0.7) ** 2)
    assert found["distance"] == pytest.approx(1.0)


ARMS = (
    *(Arm(f"first-{n}", {"order": "blocks", "order_options": {"blocks": 2, "first": n}}) for n in (1, 2)),
    Arm("together", {"epochs": 3}),
)


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    out = tmp_path_factory.mktemp("forgetting")
    study = trained(
        out / "runs", problem="rotated-digits", problem_config={"hidden": [4], "num_train": 30, "angle": 90}, arms=ARMS,
        settings={"epochs": 6, "batch_size": 10, "lr": 0.5, "save_every": 10**6}, paths=False, matched=False,
        forgetting=Forgetting(eigs=2),
    )  # fmt: skip
    measure_forgetting(study, out, workers=1)
    return study, out


def test_runs_are_measured_from_the_end_of_their_first_block_to_their_own(measured):
    study, out = measured
    found = read_forgetting(study, out)
    assert set(found) == {(f"first-{n}", seed) for n in (1, 2) for seed in (0, 1, 2)}  # those together forget nothing
    problem = study.problem_of(ARMS[0])
    x, y = problem.train
    for n in (1, 2):
        run = CheckpointDir(out / "runs" / f"first-{n}-s1")
        assert run.steps == (0, 9, 18)
        rows = slice(0, 30) if n == 1 else slice(30, 60)
        losses = [float(problem.loss_fn(run[i].model(problem)(x[rows]), y[rows]).detach()) for i in (1, 2)]
        numbers = found[f"first-{n}", 1]
        assert numbers["forgotten"] == pytest.approx(losses[1] - losses[0], abs=1e-5)
        assert numbers["distance"] == pytest.approx(float((run[2].theta() - run[1].theta()).norm()), rel=1e-5)
        assert 0 <= numbers["overlap"] <= 1


def test_what_was_measured_of_the_same_checkpoints_is_kept(measured):
    study, out = measured
    file = out / "forgetting" / "first-1-s0.json"
    written = json.loads(file.read_text())
    written["rows"]["overlap"] = 7.0
    file.write_text(json.dumps(written))
    measure_forgetting(study, out, workers=1)
    assert read_forgetting(study, out)["first-1", 0]["overlap"] == 7.0
    measure_forgetting(Study.from_json(study.to_json().replace('"eigs": 2', '"eigs": 1')), out, workers=1)
    assert read_forgetting(study, out)["first-1", 0]["overlap"] <= 1


def test_a_run_whose_first_end_was_not_saved_is_refused_with_its_step(measured, tmp_path):
    study, out = measured
    for run in (out / "runs").iterdir():
        (tmp_path / "runs" / run.name).mkdir(parents=True)
        for file in run.glob("*.h5"):
            (tmp_path / "runs" / run.name / file.name).write_bytes(file.read_bytes())
    for file in CheckpointDir(tmp_path / "runs" / "first-1-s0").files[1:2]:
        file.unlink()
    with pytest.raises(UsageError, match="no checkpoint of step 9, where its first block ends"):
        measure_forgetting(study, tmp_path, workers=1)


def numbers(forgotten, **others):
    return {"forgotten": forgotten, **dict.fromkeys(list(WORDS)[1:], 1.0), **others}


def test_correlations_over_all_runs_are_spearman_s_and_those_within_arms_leave_out_what_arms_differ_in():
    generator = np.random.default_rng(0)
    found = {}
    for arm, level in (("a", 0.0), ("b", 10.0)):  # between arms both rise, within arms one falls as the other rises
        for seed in range(12):
            x = generator.normal()
            found[arm, seed] = numbers(level + x, lambda_max=level - x + 0.1 * generator.normal())
    over, inside = (correlations(found, within=within)["lambda_max"] for within in (False, True))
    pairs = np.array([[one["forgotten"], one["lambda_max"]] for one in found.values()])
    assert over.rho == pytest.approx(float(spearmanr(*pairs.T).statistic))
    assert over.low < over.rho < over.high
    assert inside.rho < -0.9 < 0.4 < over.rho
    said = forgetting_sentences(found)
    assert said[0].startswith("Of forgetting, Spearman's ρ over all 24 runs")
    assert "within arms" in said[1]


def test_the_interval_of_a_correlation_holds_the_truth_in_as_many_of_a_hundred_draws_as_it_says():
    """Of Gaussians with ρ = 0.6, Spearman's is 6/π·asin(0.3)."""
    truth, held = 6 / np.pi * np.arcsin(0.3), 0
    for seed in range(200):
        draws = np.random.default_rng(seed).multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=40)
        found = {("a", i): numbers(x, distance=y) for i, (x, y) in enumerate(draws)}
        one = correlations(found, within=False)["distance"]
        held += one.low < truth < one.high
    assert held >= 182


def test_numbers_are_quantities_of_the_arms_that_have_them_and_a_panel_each(measured):
    study, out = measured
    found = read_forgetting(study, out)
    quantities = forgetting_quantities(found)
    assert [q.words for q in quantities] == list(WORDS.values())
    assert set(quantities[0].values) == {"first-1", "first-2"}
    drawing = draw_forgetting(study, found)
    assert len(drawing.figure.axes) == 4
    assert draw_forgetting(study, {}) is None
    assert forgetting_quantities({}) == []
    assert correlations(found, within=True) == {}  # three seeds are too few
