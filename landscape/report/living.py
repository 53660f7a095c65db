"""Which figures for papers the page draws itself, from the same numbers: they are not shown a second time."""

from __future__ import annotations

from typing import Any

#: How the name of a figure begins → what the page must have to draw its like.
_COUNTERPARTS = {
    "summary": "runs", "spectrum_": "axis", "slice_eigenvector": "lines", "slice_random": "lines", "contour": "planes",
    "surface": "planes", "plane_eigen": "planes", "plane_pca": "planes", "interpolation": "pairs",
    "last_iterations": "runs", "training": "runs", "stability": "edge",
}  # fmt: skip


def is_living(name: str, data: dict[str, Any]) -> bool:
    """Whether the page draws what a figure of this name shows, from this data.

    >>> is_living("spectrum_adam", {"axis": None}), is_living("confusion", {})
    (False, False)
    """
    needs = next((need for begin, need in _COUNTERPARTS.items() if name.startswith(begin)), None)
    if needs is None:
        return False
    if needs in ("lines", "planes"):
        return any(needs in checkpoint for run in data["runs"] for checkpoint in run["checkpoints"])
    if needs == "edge":  # drawn against the step, so one is not enough
        return any(sum(needs in checkpoint for checkpoint in run["checkpoints"]) > 1 for run in data["runs"])
    if needs == "pairs":
        return any(pair["loss"] for pair in data["pairs"])
    return bool(data[needs])
