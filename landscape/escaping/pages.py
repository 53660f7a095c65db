"""HTML: what the template escapes is made visible first; what plotly reads as a little HTML is text."""

from __future__ import annotations

from html import escape
from typing import Any

from markupsafe import Markup

from landscape.escaping.control_characters import shortened, visible


def page_text(value: Any) -> Any:
    """For ``Environment(finalize=…)``: text without steering characters; markup of our own as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def plotly_label(text: str, most: int = 40) -> str:
    """A label that plotly shows as it is named: it reads tags and entities in labels."""
    return escape(shortened(visible(text), most), quote=False)
