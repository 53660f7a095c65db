"""The terminal: no name or message moves its cursor, colours it, or is taken for markup."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from landscape.escaping.control_characters import steers, visible

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text


def cell(text: object, style: str = "") -> Text:
    """Text as it is named, for a cell of a table or a caption; its line breaks stay."""
    from rich.text import Text

    return Text("\n".join(map(visible, str(text).split("\n"))), style=style)


def one_line(text: object) -> str:
    """A message in one line."""
    return visible(" ".join(str(text).split()))


def console(*, soft_wrap: bool = True) -> Console:
    """Where text is printed as it is, without colouring or markup; tables fold where ``soft_wrap`` is False."""
    from rich.console import Console

    return Console(soft_wrap=soft_wrap, highlight=False, markup=False, emoji=False)


def json_text(rows: Any) -> str:
    """JSON that can be read, with every character that would steer the terminal as ``\\uXXXX``."""
    text = json.dumps(rows, indent=1, allow_nan=False, ensure_ascii=False)
    # json leaves DEL, C1 (0x9b begins an escape sequence), bidirectional marks and halves of surrogates as they are.
    return "".join(json.dumps(c)[1:-1] if c != "\n" and steers(c) and ord(c) >= 0x20 else c for c in text).replace(
        "\x7f", "\\u007f"
    )


def accept_all_characters() -> None:
    """What the encoding of stdout and stderr lacks is written out, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
