"""Published facts: every script of ``scripts/reproduce`` runs, says its claim and verdict, and draws its figure."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import matplotlib.image
import pytest

FOLDER = Path(__file__).parents[2] / "scripts" / "reproduce"
SCRIPTS = sorted(path for path in FOLDER.glob("*.py") if "FACT = Fact(" in path.read_text())


def load(path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    spec = importlib.util.spec_from_file_location(f"fact_{path.stem}", path)
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script
    spec.loader.exec_module(script)
    return script


def test_there_are_sixteen_at_least():
    assert len(SCRIPTS) >= 16


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.stem)
def test_a_fact_runs_in_small_and_says_all_it_should(path, monkeypatch, tmp_path, capsys):
    script = load(path, monkeypatch)
    assert script.FACT.name == path.stem
    assert script.main(script.FACT, ["--quick", "--threads", "1", "--out", str(tmp_path)]) == 0
    finding = json.loads((tmp_path / f"{path.stem}.json").read_text())
    assert {"claim", "source", "measured", "holds", "seconds", "versions"} <= finding.keys()
    assert finding["quick"] is True
    assert any(character.isdigit() for character in finding["measured"]), "a measurement has numbers"
    assert any(year in finding["source"] for year in map(str, range(1900, 2027)))
    said = capsys.readouterr().out
    assert all(word in said for word in ("claim", "source", "measured", "quick: decides nothing"))
    image = matplotlib.image.imread(tmp_path / f"{path.stem}.png")
    assert image[..., :3].std() > 0.01, "nothing was drawn"
