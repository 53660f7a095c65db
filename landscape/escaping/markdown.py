"""Markdown: text as it is named."""

from __future__ import annotations

import re

from landscape.escaping.control_characters import visible


def markdown_text(text: str) -> str:
    r"""Text in which nothing is a mark: no emphasis, no link, no HTML, no formula, on one line.

    >>> print(markdown_text("a_b_ <i> *c* $x$"))
    a\_b\_ \<i\> \*c\* \$x\$
    """
    return re.sub(r"([\\`*_{}\[\]<>#|$~&])", r"\\\1", visible(" ".join(text.split())))
