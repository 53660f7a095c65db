"""Which checkpoints of a run were chosen, and why: its last ones, those along its training, those around losses at
which runs are compared."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from landscape.store.metrics import number

#: Where ``landscape match`` says at which losses it made a folder.
FILE_NAME = "matching.json"
#: Name, in the description of all results, of the losses around which an analysis chose checkpoints, lowest first.
LEVELS = "levels"
#: Name, in the description of a run, of the steps that are none of its last ones: they lie around these, or on the way.
AROUND = "around"
#: The same of the steps that were chosen along its training.
ALONG = "along"


class HasStep(Protocol):
    """A checkpoint, or what was measured there."""

    @property
    def step(self) -> int: ...


C = TypeVar("C", bound=HasStep)


def matched_levels(folder: Path) -> tuple[float, ...]:
    """The levels that ``matching.json`` names, lowest first; empty where there is no such file, or nothing usable."""
    try:
        found = json.loads((folder / FILE_NAME).read_text())
    except (OSError, ValueError, RecursionError):
        return ()
    if not isinstance(found, dict):
        return ()
    listed = found.get("levels")
    return _usable(listed if isinstance(listed, list) and listed else [found.get("level")])


def analyzed_levels(info: Mapping[str, Any]) -> tuple[float, ...]:
    """Those of the last analysis, lowest first; empty where it had none."""
    said = info.get(LEVELS)
    return _usable(said if isinstance(said, list) else [])


def last_iterations(checkpoints: Iterable[C], info: Mapping[str, Any]) -> list[C]:
    """The checkpoints of a run without those that were measured around a level, or on the way."""
    said = info.get(AROUND)
    around = said if isinstance(said, list) else []
    return [checkpoint for checkpoint in checkpoints if checkpoint.step not in around]


def is_along(info: Mapping[str, Any]) -> bool:
    """Whether a run was measured along its training: at more than one checkpoint of it."""
    said = info.get(ALONG)
    return isinstance(said, list) and len(said) > 1


def _usable(listed: Iterable[Any]) -> tuple[float, ...]:
    levels = (number(value) for value in listed)
    return tuple(sorted({level for level in levels if level is not None and math.isfinite(level)}))
