"""Logit-normalised sharpness in an analysis: measured where the loss has logits, left out where it has not."""

from __future__ import annotations

import pytest
import torch

import landscape as ls
from landscape.analysis import pipeline
from landscape.report.methods import methods
from tests.support.runs import SMALL

NORMALIZED = {"sharpness_normalized_worst": "adaptive_worst", "sharpness_normalized_average": "adaptive_average"}


def analysed(folder, monkeypatch, name, config):
    """One run of a problem after a few steps, with one checkpoint."""
    monkeypatch.setattr(pipeline, "write_report", lambda results: None)
    problem = ls.get_problem(name, config)
    model = problem.make_model(0)
    steps = torch.optim.SGD(model.parameters(), 0.05)
    for _ in range(20):
        steps.zero_grad()
        problem.mean_loss(model, problem.train).backward()
        steps.step()
    ls.save_checkpoint(folder / "sgd-s0", model, step=1, problem=problem, config={"optimizer": "sgd", "seed": 0})
    ls.analyze(folder, SMALL)
    return ls.load_results(folder)


def test_an_analysis_measures_what_the_functions_give(tmp_path, monkeypatch):
    results = analysed(tmp_path, monkeypatch, "mlp-digits", {"hidden": [6], "num_train": 60})
    records = results.runs[0].last.records
    objective = ls.CheckpointDir(tmp_path / "sgd-s0")[-1].objective()
    for name, measure in NORMALIZED.items():
        option = {"restarts": SMALL.restarts} if measure.endswith("worst") else {"num_probes": SMALL.samples}
        found = ls.sharpness(objective, measure=measure, normalize_logits=True, strict=False, **option)
        assert records[name].value == pytest.approx(found.value, rel=1e-5)
        assert records[name].measure == f"{measure} of normalised logits"
    found = ls.sharpness(objective, measure="keskar", restarts=SMALL.restarts, strict=False)
    assert records["sharpness_keskar"].value == pytest.approx(found.value, rel=1e-5)
    text, references = methods(results)
    assert "in per cent of 1 + the loss, a lower bound" in text
    assert "Normalised logits are those of each example less their mean over the classes" in text
    assert (
        "The scale of the logits moves adaptive worst-case sharpness and adaptive average sharpness; it does not move "
        "logit-normalised worst-case sharpness and logit-normalised average sharpness." in text
    )
    assert any("Keskar" in reference for reference in references)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("mlp-digits", {"hidden": [6], "num_train": 60, "loss": "mse"}),
        ("logistic-digits", {"l2": 0.01}),  # model and loss in one, with a penalty on the weights
    ],
)
def test_where_the_loss_has_no_logits_they_are_left_out_and_nothing_is_called_skipped(
    tmp_path, monkeypatch, name, config
):
    results = analysed(tmp_path, monkeypatch, name, config)
    records = results.runs[0].last.records
    assert not records.keys() & NORMALIZED.keys()
    assert "sharpness_keskar" in records
    assert not results.info["skipped"]
    text, _ = methods(results)
    assert "logits" not in text
    assert "Invariant to rescaling of the layers of a ReLU network into an equal one [" in text
