"""A notebook of ``examples/``, as it is stored, as a page of the site: its cells, what they print, what they draw."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FENCE = "~" * 8
#: What a browser need not know of a table of pandas.
STYLE = re.compile(r"<style.*?</style>", re.S)
LOOKS = re.compile(r' (?:border|class|style)=(?:"[^"]*"|\'[^\']*\')')
#: Not within code: `$` there is a prompt.
FORMULA = re.compile(r"`[^`\n]*`|\$\$(.+?)\$\$|\$([^$\n]+)\$", re.S)


def page(path: Path) -> str:
    """Markdown; pictures are files in a folder of the notebook's name beside it (:func:`pictures`)."""
    drawn = iter(range(1, 1000))
    parts = [part for cell in _cells(path) for part in _cell(cell, path.stem, drawn)]
    title, *rest = parts
    return "\n\n".join([title, _whence(path), *rest]) + "\n"


def pictures(path: Path) -> dict[str, bytes]:
    """Name of the file -> PNG."""
    outputs = (output for cell in _cells(path) for output in cell.get("outputs", []))
    found = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return {f"{path.stem}/{i}.png": base64.b64decode("".join(png)) for i, png in enumerate(found, 1)}


def title(path: Path) -> str:
    """The first heading."""
    return "".join(_cells(path)[0]["source"]).partition("\n")[0].removeprefix("# ")


def _cells(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["cells"]
    return cells


def _whence(path: Path) -> str:
    return (
        f'!!! note ""\n    `examples/{path.name}` of the repository, with what it printed when it was last run; '
        "other machines give other last digits."
    )


def _cell(cell: dict[str, Any], name: str, drawn: Iterator[int]) -> Iterator[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        first, _, rest = source.partition("\n")
        yield from (part for part in (with_formulas(first), with_formulas(rest).strip("\n")) if part)
        return
    yield f"{FENCE} python\n{source}\n{FENCE}"
    for output in cell["outputs"]:
        yield _output(output, name, drawn)


def _output(output: dict[str, Any], name: str, drawn: Iterator[int]) -> str:
    data = output.get("data", {})
    if "image/png" in data:
        width = output["metadata"].get("image/png", {}).get("width")
        size = f'{{ width="{width}" }}' if width else ""
        return f"![What the cell above draws]({name}/{next(drawn)}.png){size}"
    if "<table" in "".join(data.get("text/html", "")):
        table = LOOKS.sub("", STYLE.sub("", "".join(data["text/html"])))
        return f'<div class="printed">{" ".join(table.split())}</div>'
    text = "".join(output.get("text") or data["text/plain"]).rstrip("\n")
    return f"{FENCE} {{ .text .printed }}\n{text}\n{FENCE}"


def with_formulas(text: str) -> str:
    r"""``$…$`` as the code that the hook makes MathML of.

    >>> with_formulas("of `$ x` and $\\lambda$")
    'of `$ x` and `tex:\\lambda`'
    """
    return FORMULA.sub(_as_code, text)


def _as_code(found: re.Match[str]) -> str:
    if found[1]:
        return f"`tex-block:{' '.join(found[1].split())}`"
    return f"`tex:{found[2]}`" if found[2] else found[0]
