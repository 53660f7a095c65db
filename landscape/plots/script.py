"""``figures.py``: a script beside the figures that draws each of them again, to be changed at will.

It is made of the functions of :mod:`landscape.plots.recipes`, word by word, so what it draws is what was drawn.
"""

from __future__ import annotations

import ast
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from pprint import pformat
from typing import Any

from landscape.plots.files import FigureFile
from landscape.plots.paper_styles import current_setting
from landscape.store.outputs import write_whole

FILE_NAME = "figures.py"
#: Where the names that recipes use are public.
_HOMES = ("landscape.plots", "landscape.comparison", "landscape.results", "landscape.store.catalogue")
_WIDTH = 100

_HEAD = '''"""The figures of this folder, drawn again from the results: change what you like, and run this file.

    python figures.py              all of them, into the folder of this file
    python figures.py summary      one

landscape report writes this file anew: keep what you have changed under another name. STYLE is the page for which
widths and letters are chosen ("neurips", "icml", "iclr", "ieee", "thesis", or None), LATEX whether LaTeX sets the text.
"""

import sys
from pathlib import Path

{imports}
FOLDER = Path(__file__).resolve().parent
RESULTS = {path}
STYLE, LATEX = {style}, {latex}
'''

_TAIL = """
if __name__ == "__main__":
    results = plots.drawable(load_results(RESULTS, vectors=False))
    with plots.paper_style(STYLE, latex=LATEX), plots.house_style():
        for name in sys.argv[1:] or FIGURES:
            plots.save(FIGURES[name](results), FOLDER, name)
"""


def write_script(figures: Sequence[FigureFile], folder: Path, results: Path) -> Path:
    """Write ``figures.py`` into the folder of the figures, which reads ``results``, the path of ``results.h5``.

    Raises
    ------
    ResultsError
        If the disk is full or the folder read-only.
    """
    return write_whole(folder / FILE_NAME, figure_script(figures, folder, results))


def figure_script(figures: Sequence[FigureFile], folder: Path, results: Path) -> str:
    """The text of the script: each recipe once, and what it was given for each figure."""
    made = [figure for figure in figures if figure.recipe is not None]
    recipes = {recipe.__name__: recipe for figure in made if (recipe := figure.recipe) is not None}
    setting = current_setting()
    style = ascii(setting.name or None)
    if not setting.name and setting != type(setting)(latex=setting.latex):
        style = f"plots.{setting.style!r}"
    head = _HEAD.format(
        imports=_imports(recipes.values()), path=_path_of(results, folder), style=style, latex=setting.latex
    )
    entries = [f"    {figure.name!r}: {_call(figure)}," for figure in made]
    return "\n\n".join([head, *map(source_of, recipes.values()), "\n".join(["FIGURES = {", *entries, "}", _TAIL])])


def source_of(recipe: Callable[..., Any]) -> str:
    """A recipe as it stands in the package, without types, which a script does not need."""
    text = inspect.getsource(recipe)
    node = ast.parse(text).body[0]
    assert isinstance(node, ast.FunctionDef)
    keywords = [argument.arg for argument in node.args.kwonlyargs]
    arguments = ", ".join([node.args.args[0].arg, *(["*", *keywords] if keywords else [])])
    return "\n".join([f"def {node.name}({arguments}):", *text.splitlines()[node.body[0].lineno - 1 :], ""])


def names_in(recipe: Callable[..., Any]) -> list[str]:
    """The global names that a recipe uses in its body."""
    tree = ast.parse(source_of(recipe))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return sorted(name for name in used if name in recipe.__globals__)


def home_of(name: str) -> str:
    """The module in which a name is public."""
    return next(home for home in _HOMES if name in _public(home))


def _public(home: str) -> Sequence[str]:
    module = sys.modules[home]  # loaded by the recipes
    return getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]


def _imports(recipes: Iterable[Callable[..., Any]]) -> str:
    used = {name for recipe in recipes for name in names_in(recipe)}
    by_home: dict[str, list[str]] = {}
    for name in sorted(used - {"np"}):
        by_home.setdefault(home_of(name), []).append(name)
    lines = ["import numpy as np\n"] if "np" in used else []
    lines += ["from landscape import load_results, plots"]
    for home in _HOMES:
        if home in by_home:
            line = f"from {home} import {', '.join(by_home[home])}"
            if len(line) > _WIDTH:
                inside = textwrap.fill(
                    ", ".join(by_home[home]), _WIDTH, initial_indent="    ", subsequent_indent="    "
                )
                line = f"from {home} import (\n{inside},\n)"
            lines.append(line)
    return "\n".join([*lines, ""])


def _path_of(results: Path, folder: Path) -> str:
    """Beside the figures, so that both can be moved; where there is no such way, as it is."""
    try:
        way = Path(os.path.relpath(results.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another drive
        return f"Path({str(results.resolve())!r})"
    return f"FOLDER / {way!r}"


def _call(figure: FigureFile) -> str:
    """As ``lambda results: summary(results, measures=[…])``."""
    given = [f"{name}={pformat(value, width=_WIDTH, compact=True)}" for name, value in figure.arguments.items()]
    short = ", ".join(["results", *given])
    name = getattr(figure.recipe, "__name__", "")
    if "\n" not in short and len(short) + len(name) + len(figure.name) < _WIDTH:
        return f"lambda results: {name}({short})"
    inside = textwrap.indent(",\n".join(["results", *given]), " " * 8)
    return f"lambda results: {name}(\n{inside},\n    )"
