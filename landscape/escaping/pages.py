"""HTML: what the template escapes is made visible first."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from landscape.escaping.control_characters import visible


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
