"""Planes as files that ParaView and other tools of VTK open."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.exchange.original import placed
from landscape.files import replacing
from landscape.results import PathSlice, PlaneSlice
from landscape.results.base import Array

SUFFIX = ".vts"
HEIGHTS = ("loss", "log10", "flat")
#: VTK's mark of a point that is not to be drawn.
_HIDDEN = np.uint8(2)


def write_vtk(surface: PlaneSlice | PathSlice, path: str | Path, *, height: str = "loss") -> Path:
    """Write a plane as a structured grid of VTK, a ``.vts`` file with values at its points.

    Parameters
    ----------
    surface : PlaneSlice or PathSlice
        Of the latter its plane; paths are left out.
    path : str or Path
        Ends in ``.vts``; there as a whole or not at all. One plane a file: ParaView opens several side by side, or, as
        ``name_0.vts``, ``name_1.vts``, …, as a series.
    height : {"loss", "log10", "flat"}
        What stands above x and y: the loss, its log₁₀, or nothing, for a filter of ParaView's own (Warp By Scalar).

    Returns
    -------
    Path
        The points have ``loss``, ``log10 loss`` (NaN where it is not positive) and each metric under its name. What is
        not a number stays NaN there; its point, which needs a place, lies at the lowest height, marked as hidden, so
        that a hole is seen.

    Raises
    ------
    UsageError
        If ``surface`` is no plane, has no finite height, or ``path`` another ending; if pyevtk is not installed
        (``pip install 'landscape-curvature[vtk]'``).
    ResultsError
        If the file cannot be written.

    References
    ----------
    "VTK XML formats", VTK's documentation: StructuredGrid; ``vtkGhostType`` for hidden points.
    """
    check_choice("height", height, HEIGHTS)
    if not isinstance(surface, (PlaneSlice, PathSlice)):
        raise UsageError(f"write_vtk takes a plane, not a {type(surface).__name__}: evaluate_plane(objective, plane)")
    path = Path(path)
    if path.suffix != SUFFIX:
        raise UsageError(f"path={str(path)!r} must end in {SUFFIX}, by which ParaView knows what it is")
    values = _values(surface)
    z = _heights(values, height)
    gridded = _gridded()
    x, y = np.meshgrid(np.asarray(surface.x, dtype=float), np.asarray(surface.y, dtype=float))
    hidden = np.where(np.isfinite(z), np.uint8(0), _HIDDEN)
    places = [_as_grid(one) for one in (x, y, np.where(np.isfinite(z), z, z[np.isfinite(z)].min()))]
    data = {_attribute(name): _as_grid(grid) for name, grid in values.items()} | {"vtkGhostType": _as_grid(hidden)}
    with tempfile.TemporaryDirectory() as folder, placed(path) as temporary, replacing(path, temporary) as stream:
        written = gridded(str(Path(folder) / "plane"), *places, pointData=data)
        stream.write(Path(written).read_bytes())
    return path


def _values(surface: PlaneSlice | PathSlice) -> dict[str, Array]:
    """(Y, X) by name."""
    loss = np.asarray(surface.loss, dtype=float)
    logarithm = np.log10(np.where(loss > 0, loss, np.nan))
    found = {"loss": loss, "log10 loss": logarithm}
    for name, values in surface.metrics.items():
        if name in (*found, "vtkGhostType") or not name.isprintable():
            raise UsageError(f"metric {name!r} cannot be called so in such a file; rename it in metric_names")
        found[name] = np.asarray(values, dtype=float)
    return found


def _heights(values: dict[str, Array], height: str) -> Array:
    loss, logarithm = values["loss"], values["log10 loss"]
    z = {"loss": loss, "log10": logarithm, "flat": np.where(np.isfinite(loss), 0.0, np.nan)}[height]
    if not np.isfinite(z).any():
        raise UsageError(f"height={height!r}, but this plane has it nowhere; height='flat' draws the plane itself")
    return z


def _as_grid(values: Array) -> Array:
    """(X, Y, 1), as VTK counts: x fastest."""
    return np.asfortranarray(values.T[:, :, None])


def _attribute(name: str) -> str:
    """A name as it may stand in XML."""
    return escape(name, {'"': "&quot;"})


def _gridded() -> Any:
    try:
        from pyevtk.hl import gridToVTK
    except ImportError:
        raise UsageError(
            "write_vtk needs pyevtk, which is not installed: pip install 'landscape-curvature[vtk]'"
        ) from None
    return gridToVTK
