"""At which training losses the runs of a folder were matched, where ``landscape match`` made it."""

from __future__ import annotations

import json
import math
from pathlib import Path

from landscape.store.metrics import number

FILE_NAME = "matching.json"


def matched_levels(folder: Path) -> tuple[float, ...]:
    """The levels that ``matching.json`` names, lowest first; empty where there is no such file, or nothing usable."""
    try:
        found = json.loads((folder / FILE_NAME).read_text())
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(found, dict):
        return ()
    listed = found.get("levels")
    listed = listed if isinstance(listed, list) and listed else [found.get("level")]
    levels = (number(value) for value in listed)
    return tuple(sorted({level for level in levels if level is not None and math.isfinite(level)}))
