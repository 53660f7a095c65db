"""Docstrings name functions and formulas as reStructuredText does; the site is of Markdown."""

from __future__ import annotations

import ast
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

from griffe import Extension

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r":(?:func|class|meth|mod|attr|data|exc|obj):`~?([^`<]+?)`")
MATH = re.compile(r":math:`([^`]+)`")
BLOCK = re.compile(r"^([ ]*)\.\. math::[ ]*(.*(?:\n(?:[ ]*|\1[ ]+\S.*))*)", re.M)


class Roles(Extension):  # type: ignore[misc, unused-ignore]
    """Turns roles of docstrings into links to what the reference has, or into code."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Of each function, class and module as it is read."""
        if getattr(obj, "docstring", None) is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    """
    >>> as_markdown("see :func:`landscape.trace`, :math:`x^2` and :mod:`landscape.errors`")
    'see [`landscape.trace`][landscape.estimators.trace], `tex:x^2` and `landscape.errors`'
    """
    text = BLOCK.sub(_block, text)
    text = MATH.sub(lambda found: f"`tex:{' '.join(found[1].split())}`", text)
    return ROLE.sub(_link, text)


def _block(found: re.Match[str]) -> str:
    lines = " ".join(textwrap.dedent(found[2]).split("\n")).strip()
    formulas = [part.strip() for part in re.split(r"\n\s*\n", textwrap.dedent(found[2])) if part.strip()]
    made = [f"{found[1]}`tex-block:{' '.join(formula.split())}`" for formula in formulas] if lines else []
    return "\n" + "\n\n".join(made) + "\n"


def _link(found: re.Match[str]) -> str:
    name = found[1]
    home = homes().get(name.removeprefix("landscape."))
    return f"[`{name}`][{home}]" if home else f"`{name}`"


@cache
def homes() -> dict[str, str]:
    """Public name -> under which name the reference has it, as ``landscape/__init__.py`` lists them."""
    tree = ast.parse((ROOT / "landscape" / "__init__.py").read_text("utf-8"))
    listed = next(
        node.value for node in tree.body if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES"
    )
    return {name: f"{home}.{name}" for home, names in ast.literal_eval(listed).items() for name in names}
