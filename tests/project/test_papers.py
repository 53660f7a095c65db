"""The page of what the studies found: every study is on it, with its own words and a figure that is there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "papers.py"


@pytest.fixture(scope="module")
def papers():
    spec = importlib.util.spec_from_file_location("papers", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def finished(folder: Path, sentences: list[str], figures: tuple[str, ...]) -> Path:
    (folder / "paper" / "figures").mkdir(parents=True)
    (folder / "paper" / "findings.txt").write_text("\n".join(sentences) + "\n")
    for name in figures:
        (folder / "paper" / "figures" / f"{name}.png").write_bytes(name.encode())
    return folder


def test_a_section_has_the_question_the_first_findings_and_the_figure_that_tells_most(papers, tmp_path):
    script = next(path for path in papers.scripts() if path.stem == "two_wells")
    said = [f"Over all runs number {i}." for i in range(9)] + ["Arm b1 wins.", "By gradient flow 3 of 20."]
    out = finished(tmp_path / "two-wells", said, ("paths", "differences"))
    text = papers.section(script, out, tmp_path / "figures")
    assert text.index("By gradient flow 3 of 20.") < text.index("Arm b1 wins.")
    assert "Over all runs" not in text
    assert "3 arms (b1, b4, b25) × 20 seeds" in text
    assert (tmp_path / "figures" / "two_wells.png").read_bytes() == b"paths"


def test_the_page_tells_every_study_and_all_its_links_lead_somewhere(papers, tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(papers, "said_by", lambda out: ["Arm a wins."])
    done = {script: finished(tmp_path / script.stem, [], ("paths",)) for script in papers.scripts()}
    text = papers.page(done)
    assert text.count("\n## ") == len(papers.scripts()) >= 15
    for link in re.findall(r"\]\(([^)]*)\)", text):
        base = tmp_path / "docs" if link.startswith("figures") else SCRIPT.parents[1] / "docs"
        assert (base / link).resolve().exists(), link


def test_sections_of_studies_that_were_not_done_stay_as_they_are_and_those_never_done_are_listed(
    papers, tmp_path, monkeypatch
):
    monkeypatch.setattr(papers, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(papers, "said_by", lambda out: ["Arm a wins."])
    named = {path.stem: path for path in papers.scripts()}
    one, other, new = (named[name] for name in ("data_order", "two_wells", "lenet_mnist"))
    folders = {script: finished(tmp_path / script.stem, [], ()) for script in (one, other, new)}
    before = papers.page({script: folders[script] for script in (one, other)})
    monkeypatch.setattr(papers, "said_by", lambda out: ["Arm b wins."])
    after = papers.page({other: folders[other], new: folders[new]}, before)
    found = papers.sections_of(after)
    assert list(found) == [new, one, other]
    assert ["Arm b wins" in text for text in found.values()] == [True, False, True]
    assert found[one] == papers.sections_of(before)[one]
    waiting = after.partition("not yet run to the end")[2]
    assert {path.stem for path in papers.scripts() if path.name in waiting} == set(named) - {p.stem for p in found}


def test_the_last_study_that_was_not_run_is_listed_and_has_no_section(papers, tmp_path, monkeypatch):
    monkeypatch.setattr(papers, "DOCS", tmp_path / "docs")
    monkeypatch.setattr(papers, "said_by", lambda out: ["Arm a wins."])
    left, *others = papers.scripts()[::-1]
    text = papers.page({script: finished(tmp_path / script.stem, [], ("paths",)) for script in others})
    assert set(papers.sections_of(text)) == set(others)
    assert left.name in text.partition("not yet run to the end")[2]
    assert papers.page({}, text) == text


def test_a_study_that_is_not_there_is_refused_with_the_names(papers, capsys):
    with pytest.raises(SystemExit):
        papers.main(["--only", "three_wells"])
    assert "no study three_wells; there are lenet_mnist, constraints" in capsys.readouterr().err
