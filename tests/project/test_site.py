"""The site of docs/: every page in its navigation, every public name in its reference, and a strict build."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import landscape as ls
from scripts.documentation import generated

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Beside this Python, or wherever the shell finds it: the environment of tests need not have it.
MKDOCS = shutil.which("mkdocs", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


def navigation() -> list[str]:
    yaml = pytest.importorskip("yaml")
    sections = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    entries = [entry for section in sections for entry in section.values()]
    return [page for entry in entries for page in ([entry] if isinstance(entry, str) else _pages(entry))]


def _pages(section: list[dict[str, str]]) -> list[str]:
    return [page for entry in section for page in entry.values()]


def in_repository(page: str) -> str:
    """The file that a page of the site shows: below source/ one from outside of docs/, below notebooks/ a notebook."""
    if page.startswith("source/"):
        return page.removeprefix("source/")
    return f"examples/{Path(page).stem}.ipynb" if page.startswith("notebooks/") else f"docs/{page}"


def written() -> set[str]:
    return {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")}


def links(text: str) -> list[str]:
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s#]+)", without_code) if "://" not in link]


def test_every_page_stands_in_the_navigation_once():
    files = [in_repository(page) for page in navigation()]
    notebooks = [path.relative_to(ROOT).as_posix() for path in (ROOT / "examples").glob("*.ipynb")]
    listed = [name for name in files if name.startswith(("docs/", "examples/"))]
    assert Counter(listed) == Counter([*(f"docs/{page}" for page in written()), *notebooks])
    for name in files:
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("page", sorted(written()))
def test_every_link_of_a_page_leads_to_a_file_of_the_repository(page):
    """So that it works where the repository is read; the site makes pages of what is outside of docs/."""
    for link in links((DOCS / page).read_text("utf-8")):
        assert ((DOCS / page).parent / link).exists(), link


def test_llms_txt_has_a_line_for_every_page_and_no_other():
    listed = links((ROOT / "llms.txt").read_text("utf-8"))
    assert listed == [in_repository(page) for page in navigation()]


def test_every_public_name_stands_in_the_reference_where_it_is_defined():
    pages = "\n".join(path.read_text("utf-8") for path in sorted((DOCS / "reference").glob("*.md")))
    listed = re.findall(r"^::: (\S+)$", pages, flags=re.M)
    names = [name for name in ls.__all__ if name != "__version__"]
    assert sorted(listed) == sorted(f"{getattr(ls, name).__module__}.{name}" for name in names)


@pytest.mark.parametrize("page", generated.PAGES)
def test_a_page_that_the_program_makes_is_as_it_makes_it(page):
    """Else: python scripts/documentation/generated.py"""
    assert (DOCS / page).read_text("utf-8") == generated.PAGES[page]()


def test_every_picture_is_in_the_gallery_with_the_script_that_makes_it():
    text = (DOCS / "gallery.md").read_text("utf-8")
    shown = {DOCS / link for link in links(text) if link.endswith(".png")}
    assert shown == {path for kind in ("facts", "studies") for path in (DOCS / "figures" / kind).glob("*.png")}
    scripts = re.findall(r"`python (scripts/\S+\.py)`", text)
    assert len(scripts) == len(shown) + 1  # and that of this page
    for script in scripts:
        assert (ROOT / script).is_file(), script


@pytest.mark.slow
@pytest.mark.skipif(MKDOCS is None, reason="needs the extra docs: make docs")
def test_the_site_is_built_strictly_and_asks_no_other_server_for_anything(tmp_path):
    """Any warning ends a strict build: links, anchors, references in docstrings, pages outside the navigation."""
    built = subprocess.run(
        [str(MKDOCS), "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]
    site = tmp_path / "site"
    assert (site / "index.html").exists()
    for link in links((site / "llms.txt").read_text("utf-8")):
        assert (site / link).is_file(), link
    reference = "".join(path.read_text("utf-8") for path in (site / "reference").glob("*.html"))
    for name in ls.__all__:
        assert name == "__version__" or f"{name}</span>" in reference, name
    assert "tex-block:" not in reference
    assert ":func:`" not in reference
    for page in site.rglob("*.html"):
        text = page.read_text("utf-8")
        assert not re.search(r'<(script|link|img|iframe)[^>]*(src|href)="https?://', text), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?https?:|@import", sheet.read_text("utf-8")), sheet
