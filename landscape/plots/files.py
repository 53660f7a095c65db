"""Figures on disk: PDF for the paper, PNG for the screen, written whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from landscape.errors import UsageError
from landscape.plots.latex_text import set_by_latex
from landscape.plots.paper_styles import current_setting
from landscape.plots.style import house_style
from landscape.store.outputs import write_whole

PNG_DPI = 200


@dataclass(frozen=True)
class FigureFile:
    """A figure on disk, with what has to stand beside it.

    Attributes
    ----------
    name : str
        File name without extension.
    title : str
        A few words; serves as alternative text too.
    caption : str
        Complete sentences: what is shown, over how many seeds, what bars and bands mean.
    pdf, png : Path
    is_wide : bool
        Wider than a column of the paper.
    recipe, arguments
        What drew it, see :class:`landscape.plots.drawing.Drawing`.
    """

    name: str
    title: str
    caption: str
    pdf: Path
    png: Path
    is_wide: bool = False
    recipe: Callable[..., Any] | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)


def save(figure: Figure, folder: Path | str, name: str) -> tuple[Path, Path]:
    """Write ``name.pdf`` (fonts embedded) and ``name.png`` (200 dpi) into ``folder``.

    Each file replaces its predecessor in one step, and the same figure gives the same bytes: no time stamp inside.
    Within ``paper_style(…, latex=True)`` LaTeX sets the text of the PDF; the PNG, which is for screens, has ours.

    Returns
    -------
    tuple of Path
        The PDF and the PNG.

    Raises
    ------
    UsageError
        If ``name`` is not a plain file name, or LaTeX is to set the text and there is none that can.
    ResultsError
        If the disk is full or the folder read-only.
    """
    if not name or Path(name).name != name or name.startswith("."):
        raise UsageError(f"name={name!r} is not a plain file name for a figure; pass one without a folder")
    folder = Path(folder)
    # whatever is left out of the metadata, matplotlib fills with its version or the time
    metadata: dict[str, dict[str, None]] = {
        "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
        "png": {"Software": None},
    }
    setting = current_setting()
    written = {}
    with house_style():
        for kind in ("png", "pdf"):
            by_latex = setting.latex and kind == "pdf"
            buffer = io.BytesIO()
            with set_by_latex(figure, setting.style) if by_latex else nullcontext():
                figure.savefig(buffer, format=kind, dpi=PNG_DPI, metadata=metadata[kind])
            written[kind] = buffer.getvalue()
    pdf, png = (write_whole(folder / f"{name}.{kind}", written[kind]) for kind in ("pdf", "png"))
    return pdf, png
