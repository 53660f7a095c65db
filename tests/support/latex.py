"""A paper through pdflatex, as its reader would do it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no LaTeX here")


def compiled(tex: Path) -> str:
    """What pdflatex said of its second run."""
    for _ in range(2):
        made = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", tex.name],
            cwd=tex.parent, capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        assert made.returncode == 0, made.stdout[-2000:]
    return made.stdout


def pages(said: str) -> int:
    """Pages of the PDF it wrote."""
    return int(re.search(r"Output written on report.pdf \((\d+) page", said)[1])
