"""The notebooks of examples/: they run, are stored with what they printed, and no number in their prose is made up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import nbformat
import pytest

import landscape as ls
from scripts.documentation import notebook_pages, notebooks

ROOT = Path(__file__).parents[2]
PATHS = sorted((ROOT / "examples").glob("*.ipynb"))
WANTED = {"quickstart", "own_dataset", "hugging_face", "optimizer_comparison", "trajectory", "second_order", "geometry",
          "first_steps"}  # fmt: skip
#: The others take 20 s and more on two cores.
FAST = ("hugging_face",)
#: Of definitions, not of what was measured: the level of intervals, names of papers.
KNOWN = {"95"}


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def notebook(request):
    return nbformat.read(request.param, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cells) -> str:
    """Everything that is read in the outputs, pictures aside."""
    outputs = [output for cell in cells for output in cell.outputs]
    return "\n".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in outputs)


@pytest.mark.parametrize(
    "path", [p if p.stem in FAST else pytest.param(p, marks=pytest.mark.slow) for p in PATHS], ids=lambda p: p.stem
)
def test_a_notebook_runs_from_top_to_bottom_and_gives_what_is_stored(path):
    """The same kinds of output from every cell; digits may differ. In small, where it has a switch for that."""
    pytest.importorskip("PIL")
    stored, run = nbformat.read(path, as_version=4), nbformat.read(path, as_version=4)
    for cell in run.cells:
        cell.source = cell.source.replace("QUICK = False", "QUICK = True")
    notebooks.run(run)
    for then, now in zip(code(stored), code(notebooks.tidied(run)), strict=True):
        assert shapes(now) == shapes(then), now.source


def shapes(cell) -> list[str]:
    return [
        "picture" if "image/png" in output.get("data", {}) else output.output_type + output.get("name", "")
        for output in cell.outputs
    ]


def test_the_list_is_whole():
    assert {path.stem for path in PATHS} == WANTED


def test_a_notebook_is_stored_as_one_run_left_it(notebook):
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))
    for cell in notebook.cells:
        assert not cell.metadata
        for output in cell.get("outputs", []):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text
    assert not re.search(r"/(home|root|tmp|work|Users)/", json.dumps(printed(code(notebook))))
    assert notebook.metadata.language_info == {"name": "python"}


def test_a_notebook_is_small_enough_to_be_read(notebook):
    assert 6 <= len(code(notebook)) <= 12
    assert len(nbformat.writes(notebook).encode()) <= notebooks.LIMIT
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            assert len(cell.source.split()) <= 180, cell.source


def test_numbers_in_the_prose_come_from_what_is_printed_or_set(notebook):
    """Decimals, percentages and factors; what is stored is what is read."""
    shown = printed(code(notebook)) + "\n".join(cell.source for cell in code(notebook))
    seen = set(re.findall(r"\d+(?:\.\d+)?", shown))
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "Now change this" not in cell.source:
            prose = re.sub(r"`[^`]*`|\$[^$]*\$|\([A-Z][^()]*\d{4}[^()]*\)", "", cell.source)
            said = re.findall(r"\d+\.\d+|\d+(?= ?%|-fold| times)", prose)
            assert set(said) <= seen | KNOWN, (said, cell.source)


def test_a_notebook_names_only_what_exists(notebook):
    for cell in notebook.cells:
        for name in re.findall(r"\bls\.([A-Za-z_]\w*)", cell.source):
            assert hasattr(ls, name), name
    for target in re.findall(r"\]\(([^)#\s:]+)\)", "\n".join(c.source for c in notebook.cells)):
        assert (ROOT / "examples" / target).is_file(), target


def test_the_page_of_a_notebook_has_its_cells_its_outputs_and_its_pictures():
    path = ROOT / "examples" / "geometry.ipynb"
    page, pictures = notebook_pages.page(path), notebook_pages.pictures(path)
    stored = nbformat.read(path, as_version=4)
    assert page.startswith(stored.cells[0].source.partition("\n")[0])
    for cell in code(stored):
        assert cell.source in page
        for output in cell.outputs:
            assert output.get("text", "").strip() in page
    drawn = sum(shape == "picture" for cell in code(stored) for shape in shapes(cell))
    assert len(pictures) == drawn == len(re.findall(r"!\[[^]]*\]\(geometry/\d+\.png\)", page))
    assert all(content.startswith(b"\x89PNG") for content in pictures.values())
    assert "<style" not in page


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_formula_of_a_page_is_one_that_browsers_are_given(path):
    """None is left between dollars, and the converter knows the words of each."""
    convert = pytest.importorskip("latex2mathml.converter").convert
    prose = re.sub(r"^~{8}.*?^~{8}$", "", notebook_pages.page(path), flags=re.M | re.S)
    assert "$" not in re.sub(r"`[^`]*`", "", prose)
    for formula in re.findall(r"`tex(?:-block)?:([^`]*)`", prose):
        assert "\\" not in re.sub(r"<[^>]*>", "", convert(formula)), formula


def test_every_notebook_has_a_row_on_the_page_of_notebooks():
    text = (ROOT / "docs" / "notebooks.md").read_text("utf-8")
    assert text.count(".ipynb)") == len(PATHS)
    for path in PATHS:
        assert f"| [{notebook_pages.title(path)}](../examples/{path.name}) |" in text
