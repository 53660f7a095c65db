"""What the pages of the guide show works: their Python runs, their commands are understood, their tables are true."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
import torch

import landscape as ls
from landscape.results.endings import Ending
from landscape.store.catalogue import IN_WIDE_TABLE, MEASURES
from scripts.documentation import generated
from tests.support.synthetic_results import make_results

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GUIDE = ("start", "own-model", "numbers", "measurements", "which-measure", "reading-landscapes", "costs", "statistics",
         "errors", "beside-other-tools")  # fmt: skip
#: Other tools are asked there, which takes seconds.
SLOW = ("beside-other-tools",)
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def text_of(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def table_rows(text: str) -> list[list[str]]:
    """Cells of all rows of all tables, ``\\|`` put back."""
    rows = [line for line in text.splitlines() if line.startswith("|") and not line.startswith("|--")]
    return [
        [cell.strip().replace("\0", "|") for cell in row.replace(r"\|", "\0").strip("|").split("|")] for row in rows
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where a reader stands: two folders that were analyzed."""
    place = tmp_path_factory.mktemp("reader")
    for name in ("demo", "mine"):
        make_results(place / "checkpoints" / name, optimizers=("adam", "sgd"), steps=(1, 2, 3), skipped=False)
    return place


@pytest.mark.parametrize("page", [pytest.param(p, marks=pytest.mark.slow) if p in SLOW else p for p in GUIDE])
def test_the_python_of_a_page_runs_from_top_to_bottom(page, folder, monkeypatch):
    blocks = re.findall(r"^```python\n(.*?)^```$", text_of(f"{page}.md"), flags=re.M | re.S)
    assert blocks
    monkeypatch.chdir(folder)
    scope: dict[str, object] = {"__name__": "page"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for block in blocks:
            exec(compile(block, f"{page}.md", "exec"), scope)
    plt.close("all")


def test_a_random_direction_bends_far_less_than_the_sharpest(folder, monkeypatch):
    """What the page on reading says of its own example."""
    blocks = re.findall(r"^```python\n(.*?)^```$", text_of("reading-landscapes.md"), flags=re.M | re.S)
    monkeypatch.chdir(folder)
    scope: dict = {}
    for block in blocks:
        exec(compile(block, "reading-landscapes.md", "exec"), scope)
    sharpest, random = scope["per_length"]
    assert sharpest == pytest.approx(float(scope["eigs"].values[0]), rel=1e-2)
    assert random < sharpest / 3
    assert scope["plane"].share > 0.6


@pytest.mark.parametrize("page", PAGES)
def test_commands_of_a_page_are_understood_by_the_command_line(page):
    known = generated.commands()
    text = text_of(page)
    for block in re.findall(r"^```console\n(.*?)^```$", text, flags=re.M | re.S):
        for line in re.findall(r"^\$ (.+)$", block, flags=re.M):
            words = shlex.split(line, comments=True)
            if words[0] == "landscape":
                known[words[1]].make_context(words[1], words[2:])  # raises for what it does not know
            elif words[0] == "python" and words[1].startswith("scripts/"):
                assert (ROOT / words[1]).is_file(), line
    for name, rest in re.findall(r"`landscape ([a-z]+)( [^`]*)?`", text):
        flags = {flag for p in known[name].params for flag in (*p.opts, *p.secondary_opts)}
        assert set(re.findall(r"--[a-z-]+", rest)) <= flags | {"--help"}, f"landscape {name}{rest}"


@pytest.mark.parametrize("page", PAGES)
def test_names_of_a_page_exist(page):
    for name in re.findall(r"\bls\.([A-Za-z_]\w*)", text_of(page)):
        assert hasattr(ls, name), name


def test_the_page_on_numbers_has_every_measure_and_every_column():
    rows = table_rows(text_of("numbers.md"))
    named = {key for row in rows for key in re.findall(r"`(\w+)`", " ".join(row[:2]))}
    assert set(MEASURES) <= named | set(re.findall(r"`(\w+)`", text_of("numbers.md")))
    for key in IN_WIDE_TABLE:
        heading = " ".join(MEASURES[key].heading.split())
        assert heading in text_of("numbers.md") or key == "train_accuracy", heading


def test_the_page_on_numbers_says_of_flatness_what_the_catalogue_does():
    flatness = {key for key, measure in MEASURES.items() if measure.is_flatness}
    seen = set()
    for row in table_rows(text_of("numbers.md").partition("## Measures of flatness")[2].partition("\n## ")[0]):
        for key in re.findall(r"`(\w+)`", row[0]):
            measure, yes = MEASURES[key], {True: "yes", False: "no"}
            assert row[2:4] == [yes[measure.is_invariant_to_layers], yes[measure.is_invariant_to_logits]], key
            assert measure.is_bound == (row[4] == "lower bound"), key
            seen.add(key)
    assert seen == flatness


def test_the_page_on_measures_has_the_table_that_the_program_prints():
    rows = [row for row in table_rows(text_of("which-measure.md")) if len(row) == 6][1:]
    assert [(row[0].strip("`"), *row[1:]) for row in rows] == [row.cells() for row in ls.measures()]


def test_the_page_on_errors_has_every_class_and_every_ending():
    text = text_of("errors.md")
    for name in ls.__all__:
        if isinstance(getattr(ls, name), type) and issubclass(getattr(ls, name), Exception):
            assert f"| `{name}`" in text, name
    said = [row[0] for row in table_rows(text.partition("## Not converged")[2].partition("\n## ")[0])]
    for ending in Ending:
        shown = re.sub(r"\{\w+\}", "…", ending.value)
        assert any(shown.startswith(row.rstrip("…").rstrip()) for row in said), ending


def test_the_page_on_errors_quotes_what_is_really_said():
    """Words of its tables on refusals and files stand in the program."""
    sources = " ".join(
        re.sub(r'"\s*f?"', "", " ".join(path.read_text("utf-8").split()))
        for room in ("objective", "checkpoints", "files", "training")
        for path in (ROOT / "landscape" / room).rglob("*.py")
    )
    sources = re.sub(r"\{[^{}]*\}", "…", sources)
    for heading in ("## The loss is refused", "## Files"):
        rows = table_rows(text_of("errors.md").partition(heading)[2].partition("\n## ")[0])
        for row in rows[1:]:
            for words in re.split(r"…|, is truncated| is nan or inf|\(N, 1\)|\(N,\)", row[0]):
                assert words.strip() in sources, words


def test_the_smallest_number_of_seeds_is_that_of_the_rule():
    """p is at least 2/2ⁿ of n pairs and 2/C(2n, n) of n against n, times the number of pairs of groups."""
    from math import comb

    rows = [row for row in table_rows(text_of("statistics.md")) if re.fullmatch(r"\d+", row[0])]
    assert len(rows) == 3
    for groups, paired, apart in (map(int, row) for row in rows):
        pairs = comb(groups, 2)
        assert paired == next(n for n in range(2, 30) if pairs * 2 / 2**n < 0.05)
        assert apart == next(n for n in range(2, 30) if pairs * 2 / comb(2 * n, n) < 0.05)


@pytest.mark.slow
def test_the_first_commands_lead_to_the_first_report(tmp_path):
    """Those of the page to start with, as they stand, but for the installation."""
    lines = re.findall(r"^\$ (.+)$", text_of("start.md"), flags=re.M)
    for line in [line for line in lines if not line.startswith("pip")][1:4]:
        words = shlex.split(line)
        words = [sys.executable, *(["-m", "landscape"] if words[0] == "landscape" else []), *words[1:]]
        done = subprocess.run(
            words, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
        )
        assert done.returncode in (0, 1), done.stderr
    assert (tmp_path / "checkpoints" / "mine" / "report.html").exists()
    shutil.rmtree(tmp_path / "checkpoints")
