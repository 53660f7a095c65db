#!/usr/bin/env python
"""The notebooks of examples/ run, and stored with what they print and draw, so that they are read without being run.

python scripts/documentation/notebooks.py                    # all of them, minutes
python scripts/documentation/notebooks.py geometry           # one
"""

from __future__ import annotations

import argparse
import base64
import io
import re
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "examples"
#: Figures have few colours; with so many, no eye sees a difference and the file is a third as large.
COLOURS = 128
LIMIT = 300_000
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def run(notebook: Any) -> Any:
    """Executed from top to bottom in a kernel of its own, in the root of the repository."""
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": ROOT}}).execute()
    return notebook


def tidied(notebook: Any) -> Any:
    """The same without what changes from run to run: times, versions, ways of showing that nobody reads."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells, 1):
        cell.metadata, cell.id = {}, f"cell-{number}"
        if cell.cell_type == "code":
            cell.outputs = _joined([_output(output) for output in cell.outputs])
    return notebook


def _joined(outputs: list[Any]) -> list[Any]:
    """What is printed in a row as one output, however it was sent."""
    made: list[Any] = []
    for output in outputs:
        if made and output.output_type == made[-1].output_type == "stream" and output.name == made[-1].name:
            made[-1].text += output.text
        else:
            made.append(output)
    return made


def _output(output: Any) -> Any:
    if output.output_type == "stream":
        output.text = _plain(output.text)
    if "data" in output:
        if "text/plain" in output.data:
            output.data["text/plain"] = _plain(output.data["text/plain"])
        if "<pre" in output.data.get("text/html", ""):  # letters of a terminal, with their colours: the text has them
            del output.data["text/html"]
        # Of a picture its size on the page, which is half of its pixels.
        output.metadata = {kind: of for kind, of in output.metadata.items() if kind == "image/png"}
        if "image/png" in output.data:
            output.data = {"image/png": _small(output.data["image/png"])}
    return output


def _plain(text: str) -> str:
    """Without bold and colours of a terminal, or blanks at the ends of lines."""
    return re.sub(r"[ \t]+$", "", ESCAPES.sub("", text), flags=re.M)


def _small(picture: str) -> str:
    """A PNG, base64, of few colours."""
    image = Image.open(io.BytesIO(base64.b64decode(picture))).convert("RGB")
    made = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(made, "png", optimize=True)
    return base64.b64encode(made.getvalue()).decode()


def main() -> None:
    names = sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *names], default=[], metavar="NAME")
    for name in parser.parse_args().names or names:
        path, start = NOTEBOOKS / f"{name}.ipynb", time.perf_counter()
        notebook = tidied(run(nbformat.read(path, as_version=4)))
        nbformat.write(notebook, path)
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}: {time.perf_counter() - start:.0f} s, {size / 1000:.0f} kB")
        if size > LIMIT:
            raise SystemExit(f"{name} is larger than {LIMIT / 1000:.0f} kB: draw fewer or smaller figures")


if __name__ == "__main__":
    main()
