"""What every page carries: its style, its scripts, and the libraries they draw with."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

_HERE = Path(__file__).parent
#: The files of ``page/`` in the order in which they stand in one function: later ones use names of earlier ones.
SCRIPTS = (
    "start", "numbers", "drawing", "intervals", "spectrum", "slices", "between", "training", "surface_data",
    "surface_scene", "surfaces", "table", "export", "controls",
)  # fmt: skip
STYLES = ("style", "figures", "media")


def style() -> Markup:
    """The style sheet."""
    return Markup("\n".join(_read("page", f"{name}.css") for name in STYLES))


def script() -> Markup:
    """The scripts of the page as one function, in which a name is seen by all files and by nothing else."""
    parts = "\n".join(_read("page", f"{name}.js") for name in SCRIPTS)
    return Markup('(() => {\n"use strict";\n' + parts + "\n})();")


def vendor() -> Markup:
    """Parts of three and d3 as one file, which ``bundle/`` builds from the versions that it pins."""
    return Markup(_read("bundle", "vendor.min.js").replace("</script", "<\\/script"))


def licences() -> Markup:
    """Of these libraries, whose licences ask to travel along."""
    return Markup(_read("bundle", "licences.txt").replace("</", "<\\/"))


def _read(folder: str, name: str) -> str:
    return (_HERE / folder / name).read_text(encoding="utf-8")
