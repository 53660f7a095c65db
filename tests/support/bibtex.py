"""BibTeX as its grammar has it: entries, their fields in braces, and comments between them."""

from __future__ import annotations

import re


def entries(text: str) -> list[tuple[str, str, dict[str, str]]]:
    """Type, key and fields of each entry.

    Raises
    ------
    ValueError
        Where braces do not close, a key stands twice, a field has no value in braces, or text between entries is no
        comment.
    """
    found, place = [], 0
    while (at := text.find("@", place)) >= 0:
        if any(line.strip() and not line.startswith("%") for line in text[place:at].splitlines()):
            raise ValueError(f"between entries: {text[place:at]!r}")
        head = re.compile(r"@(\w+)\{([^\s,{}]+),").match(text, at)
        if head is None:
            raise ValueError(f"no entry: {text[at : at + 40]!r}")
        fields, place = _fields(text, head.end())
        found.append((head[1], head[2], fields))
    if len({key for _, key, _ in found}) < len(found):
        raise ValueError("a key stands twice")
    return found


def _fields(text: str, place: int) -> tuple[dict[str, str], int]:
    """The fields of one entry, and where it ends."""
    fields: dict[str, str] = {}
    name = re.compile(r"\s*(\w+)\s*=\s*\{")
    while match := name.match(text, place):
        begun = match.end()
        end = _closed(text, begun)
        fields[match[1]] = text[begun:end]
        place = re.compile(r"\s*,?").match(text, end + 1).end()  # type: ignore[union-attr]
    close = re.compile(r"\s*\}").match(text, place)
    if close is None:
        raise ValueError(f"an entry does not end at {text[place : place + 40]!r}")
    return fields, close.end()


def _closed(text: str, begun: int) -> int:
    """Where the brace closes that was opened before ``begun``."""
    depth = 1
    for place in range(begun, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return place
    raise ValueError("a brace does not close")
