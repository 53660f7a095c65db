"""Docstrings name functions and formulas as reStructuredText does; the site is of Markdown."""

from __future__ import annotations

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Extension

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc|obj):`~?([^`<]+?)`")
MATH = re.compile(r":math:`([^`]+)`")
BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*(.*(?:\n(?:\1[ ]+\S.*|[ ]*(?=\n)))*)", re.M)


class Roles(Extension):  # type: ignore[misc, unused-ignore]
    """Turns roles of docstrings into links to what the reference has, or into code."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Of each function, class and module as it is read."""
        if getattr(obj, "docstring", None) is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """
    >>> as_markdown("see :func:`landscape.trace`, :math:`x^2` and :mod:`landscape.errors`")
    'see [`landscape.trace`][landscape.estimators.traces.trace.trace], `tex:x^2` and `landscape.errors`'
    """
    text = BLOCK.sub(_block, text)
    text = MATH.sub(lambda found: f"`tex:{' '.join(found[1].split())}`", text)
    return ROLE.sub(_link, text)


def _block(found: re.Match[str]) -> str:
    first, _, rest = found[2].partition("\n")
    formulas = re.split(r"\n\s*\n", f"{first.strip()}\n{textwrap.dedent(rest)}".strip())
    made = [f"{found[1]}`tex-block:{' '.join(formula.split())}`" for formula in formulas]
    return "\n" + "\n\n".join(made) + "\n\n"


def _link(found: re.Match[str]) -> str:
    name = found[1]
    home = homes().get(name.rpartition(".")[2]) if name.startswith("landscape.") or "." not in name else None
    return f"[`{name}`][{home}]" if home else f"`{name}`"


@cache
def homes() -> dict[str, str]:
    """Public name -> the name under which the reference has it, which is that of its definition."""
    pages = (ROOT / "docs" / "reference").glob("*.md")
    found = [line.removeprefix("::: ") for page in pages for line in page.read_text("utf-8").splitlines()]
    return {line.rpartition(".")[2]: line for line in found if line.startswith("landscape.")}
