"""``analyze`` measures problems of any kind from the command line: batches of mappings, weights, own measures."""

from __future__ import annotations

import csv
import sys

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.checkpoints import save_checkpoint
from tests.support.command_line import call

OWN = """
import torch
from torch.nn import functional
import landscape as ls

def batches(seed):
    draw = torch.Generator().manual_seed(seed)
    sizes = (5, 9, 4)  # padded to different lengths, so that batches stay as they come
    made = []
    for size, length in zip(sizes, (3, 4, 6)):
        tokens = torch.randint(7, (size, length), generator=draw)
        targets = torch.randint(7, (size, length), generator=draw)
        targets[0, 1:] = -100
        made.append({"tokens": tokens, "targets": targets})
    return made

def tagger(*, width=3):
    return ls.Problem(
        build=lambda: torch.nn.Sequential(torch.nn.Embedding(7, width), torch.nn.Linear(width, 7)),
        outputs=lambda model, batch: model(batch["tokens"]),
        loss=lambda logits, batch: functional.cross_entropy(logits.flatten(0, 1), batch["targets"].flatten()),
        targets=lambda batch: batch["targets"], weight=lambda batch: int((batch["targets"] >= 0).sum()),
        measures=lambda model, split: {"embedding": float(model[0].weight.norm())},
        train=batches(0), test=batches(1),
    )
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two runs of another width than the factory's own; the problem lies beside them."""
    (tmp_path / "tagging_for_test.py").write_text(OWN)
    for seed in (0, 1):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = torch.nn.Sequential(torch.nn.Embedding(7, 2), torch.nn.Linear(2, 7))
        save_checkpoint(tmp_path / "runs" / f"adam-s{seed}", model, step=3, config={"optimizer": "adam", "seed": seed})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    yield tmp_path / "runs"
    sys.modules.pop("tagging_for_test", None)


def test_a_tagger_on_padded_mappings_is_measured_with_status_zero(folder, capsys, monkeypatch):
    words = ["analyze", str(folder), "--problem", "tagging_for_test:tagger", "--problem-config", '{"width": 2}']
    status, _, error = call(capsys, monkeypatch, *words, "--plan", "quick", "--subsets", "4", "--workers", "1")
    assert status == 0, error
    results = ls.load_results(folder)
    run = results["adam-s0"]
    model = ls.CheckpointDir(folder / "adam-s0")[-1].model("tagging_for_test:tagger", problem_config={"width": 2})
    found = run[-1].test
    by_hand, right, total = 0.0, 0, 0
    for batch in sys.modules["tagging_for_test"].batches(1):
        logits, targets = model(batch["tokens"]).detach(), batch["targets"]
        counted = targets >= 0
        logs = logits.log_softmax(-1).gather(-1, targets.clamp(min=0)[..., None])[..., 0]
        by_hand -= float(logs[counted].double().sum())
        right += int((logits.argmax(-1) == targets)[counted].sum())
        total += int(counted.sum())
    assert found.loss == pytest.approx(by_hand / total, rel=1e-6)
    assert (found.accuracy, found.confusion.sum()) == (right / total, total)
    assert found.measures == {"embedding": pytest.approx(float(model[0].weight.detach().norm()))}
    dense = np.linalg.eigvalsh(ls.HessianOperator(_objective(folder)).dense().double().numpy())
    eigs = run[-1].eigenpairs
    assert abs(eigs.values[0] - dense[-1]) <= eigs.residuals[0] + 1e-5 * abs(dense).max()
    with open(folder / "tables" / "measures.csv") as file:
        rows = list(csv.DictReader(file))
    assert {(row["run"], row["split"], row["measure"]) for row in rows} == {
        (f"adam-s{seed}", split, "embedding") for seed in (0, 1) for split in ("train", "test")
    }
    assert "test: embedding" in set(results.to_dataframe()["measure"])


def test_settings_that_are_no_json_object_are_refused_in_one_line(folder, capsys, monkeypatch):
    words = ["analyze", str(folder), "--problem", "tagging_for_test:tagger", "--problem-config"]
    for text, said in (("{width: 2}", "is no JSON"), ("[2]", "is a list; it must be an object")):
        status, _, error = call(capsys, monkeypatch, *words, text)
        assert status == 2
        assert error.startswith("landscape: --problem-config")
        assert said in error
        assert len(error.splitlines()) == 1


def _objective(folder):
    checkpoint = ls.CheckpointDir(folder / "adam-s0")[-1]
    return checkpoint.objective("tagging_for_test:tagger", problem_config={"width": 2}, dtype=torch.float64)
