"""What results print fits a screen, however many runs there are, and shows what the records say."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import pytest

import landscape as ls
from landscape.results import Estimate, PointValue
from landscape.store import Results, ResultStore
from tests.support.hostile import NAMES
from tests.support.synthetic_results import make_results

COLUMNS, LINES = 80, 24


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return ls.load_results(make_results(tmp_path_factory.mktemp("results"), seeds=(0,), steps=(10, 20), vectors=False))


def many(folder: Path, names, steps=(1,)) -> Results:
    folder.mkdir(parents=True, exist_ok=True)
    with mock.patch("os.fsync"), ResultStore(folder) as store:
        for i, name in enumerate(names):
            for step in steps:
                store.write(name, step, "point", PointValue(1.0 / (i + 1), 0.1, 1.0), {})
                store.write(name, step, "trace", Estimate(1.234e-8 * (i + 1), sem=1e-9), {})
    return ls.load_results(folder)


def fits(text: str) -> None:
    assert len(text.splitlines()) <= LINES
    assert max(map(len, text.splitlines())) <= COLUMNS


class Cells(HTMLParser):
    """The texts of a page, and every element that is in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)

    def handle_data(self, data):
        self.texts.append(data)


def test_a_run_has_a_row_with_what_its_last_checkpoint_says(results):
    text = repr(results)
    fits(text)
    title, head, *rows = text.splitlines()
    assert title.endswith("results.h5: 3 runs, 6 checkpoints, 2 pairs; plan standard")
    assert head.split() == ["run", "steps", "loss", "test", "%", "λ_max", "trace"]
    for run, row in zip(results, rows, strict=True):
        assert row.startswith(run.name)
        assert "10, 20" in row
        assert str(run[-1].trace) in row


def test_eighty_runs_fit_a_screen(tmp_path):
    results = many(tmp_path / ("a-long-name-of-a-folder/" * 4), [f"run-{i}" for i in range(80)])
    text = repr(results)
    fits(text)
    assert "run-0 " in text
    assert "run-79 " in text
    assert "… 62 more …" in text
    assert len(re.findall(r"^run-\d+ ", text, flags=re.M)) == 18


def test_a_run_of_a_hundred_checkpoints_fits_a_screen(tmp_path):
    run = many(tmp_path, ["a"], range(0, 1000, 10))["a"]
    fits(repr(run))
    assert "… 82 more …" in repr(run)
    assert "0…990 (100)" in repr(ls.load_results(tmp_path))


def test_a_checkpoint_prints_its_numbers_with_units_and_names_the_other_records(results):
    last = results["adam-s0"][-1]
    text = repr(last)
    fits(text)
    (row,) = (line for line in text.splitlines() if line.startswith("trace "))
    assert row.split("  ")[-1].strip() == "loss/parameter²"
    assert str(last.trace) in row
    words = text.partition("other records:")[2]
    for name in ("density", "eigenpairs", "line_random_2", "plane", "point"):
        assert name in words
    assert "sharpness" not in words


def test_what_did_not_converge_is_marked(results):
    assert "NOT CONVERGED" in repr(results["sgd-s0"][-1])
    assert "NOT CONVERGED" not in repr(results["adam-s0"][-1])


def test_a_value_that_did_not_converge_has_a_star_that_is_explained(tmp_path):
    with ResultStore(tmp_path) as store:
        store.write("a", 1, "trace", Estimate(3.0, sem=1.0, converged=False), {})
    for text in (repr(ls.load_results(tmp_path)), repr(ls.load_results(tmp_path)["a"])):
        assert "3.0 ± 1.0*" in text
        assert text.splitlines()[-1] == "* not converged"


def test_names_steer_neither_a_terminal_nor_a_page(tmp_path):
    results = many(tmp_path, NAMES)
    for shown in (results, *results):
        fits(repr(shown))
        assert all(line.isprintable() for line in repr(shown).splitlines())
        page = Cells(shown._repr_html_())
        assert page.tags <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "p"}


def test_a_page_has_the_cells_of_the_text(results):
    for shown in (results, results[0], results[0][-1]):
        page = Cells(shown._repr_html_())
        words = set(" ".join(page.texts).split())
        assert {"table", "caption", "td"} <= page.tags
        assert set(repr(shown).split()) <= words


def test_the_repr_of_a_checkpoint_of_which_nothing_was_measured(tmp_path):
    with ResultStore(tmp_path) as store:
        store.describe_checkpoint("a", 3, {})
    run = ls.load_results(tmp_path)["a"]
    assert "nothing measured" in repr(run[0])
    assert "1 checkpoint" in repr(run)
