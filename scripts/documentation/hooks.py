"""What the site needs beyond MkDocs: links that leave ``docs/``, formulas without scripts, ``llms.txt``.

Pages link to files of the repository as they lie, so that the links work where the repository is read. On the site
each such file is a page below ``source/``; nothing has to be listed.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files, InclusionLevel
from notebook_pages import page as notebook_page
from notebook_pages import pictures
from pymdownx.slugs import slugify

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
#: Of the navigation, whether or not a page links to them.
ALWAYS = ("checkpoints/README.md", "CONTRIBUTING.md", "CHANGELOG.md",
          *(f"examples/{path.name}" for path in sorted((ROOT / "examples").glob("*.ipynb"))))  # fmt: skip
#: How files are shown whose name tells no language.
LANGUAGES = {".py": "python", ".cfg": "ini", ".toml": "toml", ".json": "json", ".sh": "bash"}
FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1[`~]*$", re.M | re.S)
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
#: What the extension ``roles.py`` leaves of a formula: code, which Markdown does not look into.
FORMULA = re.compile(r"<code>tex(-block)?:(.*?)</code>", re.S)
#: Stands in for a worker where pages are opened as files, so that they can be searched.
SHIM = "assets/iframe-worker.js"
FETCHED = re.compile(r'<script src="https?://[^"]*"[^>]*></script>')
#: Of pages below ``source/``: the file or folder that each shows.
SHOWN: dict[str, Path] = {}


def on_config(config: Any) -> Any:
    """Anchors as the forge makes them, so that a link to a heading works in both places."""
    config["mdx_configs"].setdefault("toc", {})["slugify"] = slugify(case="lower")
    return config


def on_files(files: Files, config: Any) -> Files:
    """A page for each file of the repository that a page links to."""
    waiting = [*ALWAYS, *(name for page in sorted(DOCS.rglob("*.md")) for name in outside(page))]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or not (ROOT / name).exists():
            continue
        seen.add(name)
        path = ROOT / name
        if path.suffix in (".md", ".ipynb"):
            waiting += outside(path)
        elif path.is_dir():
            waiting += [f"{name}/{entry.name}" for entry in listed(path)]
        SHOWN[place_of(path)] = path
        level = InclusionLevel.UNDEFINED if name in ALWAYS else InclusionLevel.NOT_IN_NAV
        files.append(File.generated(config, place_of(path), content=as_page(path), inclusion=level))
        if path.suffix == ".ipynb":
            for picture, content in pictures(path).items():
                files.append(File.generated(config, f"notebooks/{picture}", content=content))
    files.append(File.generated(config, "llms.txt", content=list_for_machines((ROOT / "llms.txt").read_text("utf-8"))))
    return files


def list_for_machines(text: str) -> str:
    """``llms.txt`` with links to pages of the site."""
    return re.sub(r"\]\(([^)\s:]+)\)", lambda found: f"]({_address(ROOT / found[1])})", text)


def _address(path: Path) -> str:
    place = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else place_of(path)
    return re.sub(r"(^|/)README$", r"\1index", place.removesuffix(".md")) + ".html"


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as they are on the site; ``\\|`` in code of a table, which Markdown here needs no backslash for."""
    here = page.file.src_uri
    original = SHOWN.get(here, DOCS / here)
    text = between_fences(markdown, lambda part: LINK.sub(lambda found: moved(found, original, here), part))
    return between_fences(text, _without_backslashes)


def on_page_content(content: str, **_: Any) -> str:
    """Formulas as MathML, which browsers draw by themselves; pictures are read when they come into view."""
    content = content.replace("<img ", '<img loading="lazy" ')
    return FORMULA.sub(_drawn, content)


def _drawn(found: re.Match[str]) -> str:
    formula = html.unescape(found[2]).replace(r"\_", "_")
    return str(convert(formula, display="block" if found[1] else "inline"))


def on_post_page(output: str, page: Any, **_: Any) -> str:
    """The one script that the theme would fetch from elsewhere is in ``docs/assets``."""
    return FETCHED.sub(f'<script src="{os.path.relpath(SHIM, Path(page.file.dest_uri).parent)}"></script>', output)


def on_post_template(output: str, **_: Any) -> str:
    """The page for what is not found, which knows no folder to stand in, goes without."""
    return FETCHED.sub("", output)


def outside(page: Path) -> Iterator[str]:
    """Files of the repository, not of ``docs/``, to which a page or notebook links."""
    text = as_page(page) if page.suffix == ".ipynb" else page.read_text("utf-8")
    for found in LINK.finditer(FENCED.sub("", text)):
        target = Path(os.path.normpath(page.parent / found[2]))
        if target.is_relative_to(ROOT) and not target.is_relative_to(DOCS) and target.exists() and target != ROOT:
            yield target.relative_to(ROOT).as_posix()


def place_of(path: Path) -> str:
    """Where a file of the repository stands on the site."""
    name = path.relative_to(ROOT).as_posix()
    if path.suffix == ".ipynb":
        return f"notebooks/{path.stem}.md"
    return f"source/{name}" if path.suffix == ".md" else f"source/{name}.md"


def listed(folder: Path) -> list[Path]:
    """What a page of a folder shows."""
    return [path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix in (".py", ".md", ".csv")]


def as_page(path: Path) -> str:
    """A file as Markdown, left out of the search, which would find little else."""
    head = "---\nsearch:\n  exclude: true\n---\n\n"
    name = path.relative_to(ROOT).as_posix()
    if path.suffix == ".md":
        return head + path.read_text("utf-8")
    if path.suffix == ".ipynb":
        return "---\nhide:\n  - toc\n---\n\n" + notebook_page(path)
    if path.is_dir():
        links = [f"- [{entry.name}]({os.path.relpath(entry, path.parent)})" for entry in listed(path)]
        return f"{head}# {name}\n\n" + "\n".join(links)
    fence = "~" * 8
    return f"{head}# {name}\n\n{fence} {LANGUAGES.get(path.suffix, 'text')}\n{path.read_text('utf-8')}\n{fence}\n"


def moved(found: re.Match[str], original: Path, here: str) -> str:
    """A link of a page, from where that page stands on the site."""
    target = Path(os.path.normpath(original.parent / found[2]))
    if not target.exists() or not target.is_relative_to(ROOT) or target == ROOT:
        return found[0]
    place = target.relative_to(DOCS).as_posix() if target.is_relative_to(DOCS) else place_of(target)
    return f"{found[1]}{os.path.relpath(place, Path(here).parent)}{found[3] or ''}{found[4]}"


def between_fences(text: str, change: Callable[[str], str]) -> str:
    """The text with what is not in a block of code changed."""
    made, end = [], 0
    for fence in FENCED.finditer(text):
        made += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*made, change(text[end:])])


def _without_backslashes(part: str) -> str:
    rows = part.split("\n")
    return "\n".join(
        re.sub(r"`[^`]*`", lambda code: code[0].replace(r"\|", "|"), row) if row.startswith("|") else row
        for row in rows
    )
