"""Names of files: any name gives a plain word, different names give different ones."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

_MOST = 80
#: Windows opens devices by these names, whatever stands behind the dot.
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def file_words(names: Iterable[str]) -> dict[str, str]:
    """A word for each name, of letters, digits, ``_``, ``-`` and ``.``; no two alike, on any file system.

    A name that is such a word stays; of another, what is left of it and a part of its hash.

    >>> file_words(["adam", "lr=0.1"])
    {'adam': 'adam', 'lr=0.1': 'lr_0.1-f27540d9'}
    """
    names = list(dict.fromkeys(names))
    folded = Counter(name.casefold() for name in names)  # a disk may hold Adam and adam to be one
    return {name: name if folded[name.casefold()] == 1 and _is_plain(name) else _word(name) for name in names}


def _is_plain(name: str) -> bool:
    # A word of ours would end in a hash: a name that looks like one gets one, too.
    plain = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?<!\.)", name)
    return bool(plain and len(name) <= _MOST and not _DEVICES.fullmatch(name) and not re.search(r"-[0-9a-f]{8}$", name))


def _word(name: str) -> str:
    left = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-")[:_MOST] or "unnamed"
    return f"{left}-{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
