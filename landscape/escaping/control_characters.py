"""Characters that steer instead of being read are written out: what every medium begins with."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

#: Control characters, halves of surrogate pairs (undecodable names), line and paragraph separators.
_STEERING = frozenset(("Cc", "Cs", "Zl", "Zp"))
#: Marks that turn the direction of what follows them, and one that is not there at all. Joiners of letters and emoji
#: stay: they are part of words.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff")
_MARK = "…"


def visible(text: str) -> str:
    r"""The text with characters that steer a terminal, a page or a line written as Python would write them.

    >>> print(visible("a\x1b[31mb"), visible("two\nlines"), visible("α, β, 日本"))
    a\x1b[31mb two\nlines α, β, 日本
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if steers(c) else c for c in text)


def encodable(text: str) -> str:
    r"""The text with halves of surrogate pairs, which no encoding has, written as Python would write them.

    >>> print(encodable("adam\udcff"), encodable("α\tβ"))
    adam\udcff α	β
    """
    return text if text.isascii() else "".join(repr(c)[1:-1] if "\ud800" <= c <= "\udfff" else c for c in text)


def steers(character: str) -> bool:
    """Whether a character does something other than be read."""
    return character in _TURNING or unicodedata.category(character) in _STEERING


def shortened(text: str, most: int) -> str:
    """At most so many characters, the middle left out: both ends of a name tell it from others.

    >>> shortened("a-very-long-name-of-a-run-s12", 14)
    'a-very-…un-s12'
    """
    if len(text) <= most:
        return text
    head = most // 2
    return text[:head] + _MARK + text[len(text) - (most - head - 1) :]


def told_apart(texts: Iterable[str], most: int) -> dict[str, str]:
    """Each text with at most so many characters; those that would look alike are numbered.

    >>> told_apart(["run-one-s0", "run-two-s0"], 7)
    {'run-one-s0': 'r…0 (1)', 'run-two-s0': 'r…0 (2)'}
    """
    names = list(dict.fromkeys(texts))
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(shortened(name, most), []).append(name)
    found = {}
    for short, group in alike.items():
        for number, name in enumerate(group, start=1):
            mark = f" ({number})"
            found[name] = short if len(group) == 1 else shortened(name, max(1, most - len(mark))) + mark
    return {name: found[name] for name in names}
