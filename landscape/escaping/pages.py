"""HTML: what the template escapes is made visible first; what plotly reads as a little HTML is text."""

from __future__ import annotations

from html import escape
from typing import Any

from markupsafe import Markup

from landscape.escaping.control_characters import shortened, visible


def page_text(value: Any) -> Any:
    """For ``Environment(finalize=…)``: text without steering characters, no number torn from its error by a line's end.

    Markup of our own stays as it is.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = visible(value)
    for sign in ("±", "×/÷"):
        whole = sign.replace("/", "/\N{WORD JOINER}")  # a line may end after a slash
        text = text.replace(f" {sign} ", f"\N{NO-BREAK SPACE}{whole}\N{NO-BREAK SPACE}")
    return text


def plotly_label(text: str, most: int = 40) -> str:
    """A label that plotly shows as it is named: it reads tags and entities in labels."""
    return escape(shortened(visible(text), most), quote=False)
