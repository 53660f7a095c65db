"""Surfaces in files of the loss-landscape code: its layout read and written, with what ours know beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from landscape.checks import check_choice
from landscape.errors import ResultsError, UsageError
from landscape.exchange.original import X, Y, numbers, reading, writing
from landscape.files import Dataset, Group
from landscape.results import LineSlice, PlaneSlice
from landscape.results.base import Array
from landscape.store.record_shapes import check_record
from landscape.store.records import dump, load

LOSSES = ("train_loss", "test_loss")
NOT_COMPUTED = -1.0
#: Where a dataset holds all that a slice of ours knows and the layout has no place for.
_OURS = "landscape"
_PERCENT = ("train_acc", "test_acc")
_EIGENVALUES = ("min_eig", "max_eig")
_BY_HAND = ("t", "x", "y", "loss", "metric_names", "metric_values")

Slice = PlaneSlice | LineSlice


def read_surface(path: str | Path, *, loss: str = "train_loss") -> PlaneSlice | LineSlice:
    """A surface that the loss-landscape code of Li et al. (2018) computed, or :func:`write_surface` wrote.

    Parameters
    ----------
    path : str or Path
        Its HDF5 file with ``xcoordinates`` and, of a plane, ``ycoordinates``.
    loss : {"train_loss", "test_loss"}
        Which of them becomes the loss; all else becomes metrics: the accuracy on the same data ``"accuracy"``, 0 … 1
        where the file has per cent; those of the other data ``"test loss"``, ``"test accuracy"`` or ``"train loss"``,
        ``"train accuracy"``; the rest under their own names.

    Returns
    -------
    PlaneSlice or LineSlice
        Evaluated at every point, so without an error, unless :func:`write_surface` noted one. Points that were not
        computed, -1 in the file, are NaN, and counted in ``reason``; a loss that really is -1 is taken for one of
        these. Lengths of the directions and curvatures, which the file does not have, are NaN.

    Raises
    ------
    ResultsError
        If the file is missing, damaged, of another kind, or its arrays do not go with its coordinates.
    UsageError
        If ``loss`` is neither.

    Notes
    -----
    The code allocates a plane as (nx, ny) and fills it row by row as (ny, nx): what is read in its stored shape is
    scrambled wherever nx ≠ ny. Where there are NaN they were computed so.
    """
    check_choice("loss", loss, LOSSES)
    with reading(path, "surface") as file:
        x = numbers(file, X, path=path)
        y = numbers(file, Y, path=path) if Y in file else None
        found = dict(_grids(file, path, len(x), None if y is None else len(y)))
        said = load(file.dataset(_OURS).text()) if _OURS in file else {}
        if loss not in found:
            raise ResultsError(f"{path} has no {loss!r}; {', '.join(map(repr, found)) or 'no values at all'}")
        title = _title(file, path)
    heights, missing = _gaps(found.pop(loss))
    metrics = dict(_metrics(found, loss))
    values = _unstated(x, y, title) | _noted(said, path)
    values |= {"t": x} if y is None else {"x": x, "y": y}
    names = _in_order(metrics, values.pop("metric_names", ()))
    values |= {"loss": heights, "metric_names": names, "metric_losses": _losses(names, values)}
    values["metric_values"] = np.stack([metrics[name] for name in names]) if names else np.empty((0, 0))
    if missing and not values.get("reason"):
        values["reason"] = f"{missing} of {heights.size} points were not computed"
    kind: type[Slice] = LineSlice if y is None else PlaneSlice
    try:
        check_record(kind, values)
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ResultsError(f"{path}: what landscape noted in it does not go with its values ({error})") from error


def write_surface(surface: PlaneSlice | LineSlice, path: str | Path, *, dir_file: str = "") -> Path:
    """Write a surface as the loss-landscape code does, so that its plots, and it itself, go on with it.

    What that has no place for (the error, the directions' names and lengths, curvatures) stands beside it, where that
    code does not look and :func:`read_surface` finds it.

    Parameters
    ----------
    surface : PlaneSlice or LineSlice
        ``metrics["accuracy"]`` becomes ``train_acc`` in per cent, ``"test loss"`` and ``"test accuracy"`` become
        ``test_loss`` and ``test_acc``, others keep their names. Without an accuracy ``train_acc`` is -1, not computed.
    path : str or Path
        There as a whole or not at all.
    dir_file : str
        The file of its directions, noted as that code does.

    Raises
    ------
    UsageError
        If ``surface`` is none, a value is exactly -1, which the layout has for what is missing, or a metric has a name
        that cannot stand in it.
    ResultsError
        If the file cannot be written.
    """
    if not isinstance(surface, (PlaneSlice, LineSlice)):
        raise UsageError(f"write_surface takes a PlaneSlice or a LineSlice, not a {type(surface).__name__}")
    is_plane = isinstance(surface, PlaneSlice)
    x = np.asarray(surface.x if isinstance(surface, PlaneSlice) else surface.t)
    arrays = _as_they_store(surface)
    noted = {f.name: getattr(surface, f.name) for f in fields(surface) if f.name not in _BY_HAND}
    noted["metric_names"] = surface.metric_names
    with writing(path) as file:
        file.create_dataset("dir_file", data=dir_file)
        file.create_dataset(X, data=x.astype(float))
        if isinstance(surface, PlaneSlice):
            file.create_dataset(Y, data=surface.y.astype(float))
        for name, grid in arrays.items():
            # Row by row as (ny, nx), in an array of (nx, ny): that is their layout.
            stored = grid.reshape(-1).reshape(grid.shape[::-1]) if is_plane else grid
            file.create_dataset(name, data=stored)
        file.create_dataset(_OURS, data=dump(noted))
    return Path(path)


def _grids(file: Group, path: str | Path, nx: int, ny: int | None) -> Iterator[tuple[str, Array]]:
    """Every dataset with a value for each point, (ny, nx) or (nx,)."""
    shape = (nx,) if ny is None else (ny, nx)
    for name, node in file.items():
        if name in (X, Y, _OURS) or not isinstance(node, Dataset) or node.is_text:
            continue
        size = int(np.prod(node.shape, dtype=object))
        if size == np.prod(shape):
            yield name, node[()].astype(float).reshape(-1).reshape(shape)
        elif name in (*LOSSES, *_PERCENT, *_EIGENVALUES):
            wanted = f"{nx} coordinates" if ny is None else f"{nx} × {ny} coordinates"
            raise ResultsError(f"{path}: {name!r} has {size} values for {wanted}; was it cut off or merged by hand?")


def _gaps(values: Array) -> tuple[Array, int]:
    """NaN where nothing was computed, and how often."""
    missing = values == NOT_COMPUTED
    return np.where(missing, np.nan, values), int(missing.sum())


def _metrics(found: dict[str, Array], loss: str) -> Iterator[tuple[str, Array]]:
    """Names and values as slices of ours have them; what was never computed is left out."""
    names = _names(loss)
    never = found["max_eig"] == NOT_COMPUTED if "max_eig" in found else None
    for name, grid in found.items():
        if name in _EIGENVALUES:
            # They begin at -1 and, the smallest, at 1, which many eigenvalues are; the largest says for both.
            values = grid if never is None else np.where(never, np.nan, grid)
        elif name in names:
            values = _gaps(grid)[0] / (100 if name in _PERCENT else 1)
        else:
            values = grid
        if not np.isnan(values).all():
            yield names.get(name, name), values


def _names(loss: str) -> dict[str, str]:
    """Their name → ours."""
    own, other = ("train", "test") if loss == "train_loss" else ("test", "train")
    return {f"{own}_acc": "accuracy", f"{other}_loss": f"{other} loss", f"{other}_acc": f"{other} accuracy"}


def _title(file: Group, path: str | Path) -> str:
    """What the directions are, as far as the file says."""
    node = file.get("dir_file")
    said = node.text() if isinstance(node, Dataset) and node.is_text else ""
    return PurePosixPath(said.replace("\\", "/")).name or Path(path).name


def _unstated(x: Array, y: Array | None, title: str) -> dict[str, Any]:
    """What a slice has and the layout has not."""
    if y is None:
        return {"direction": f"xdirection of {title}", "step_norm": float("nan"), "curvature_slice": float("nan"),
                "curvature_error": float("nan"), "num_evaluations": len(x)}  # fmt: skip
    unknown = np.full((2, 2), np.nan)
    return {
        "directions": (f"xdirection of {title}", f"ydirection of {title}"), "step_norms": np.full(2, np.nan),
        "curvature": unknown, "curvature_slice": unknown, "curvature_error": unknown,
        "num_evaluations": len(x) * len(y),
    }  # fmt: skip


def _noted(said: Any, path: str | Path) -> dict[str, Any]:
    """What :func:`write_surface` wrote beside the layout, with arrays and tuples again."""
    if not isinstance(said, dict):
        raise ResultsError(f"{path}: what landscape noted in it is no list of fields")
    rows = {"directions", "metric_names", "metric_losses", "mark_names"}
    found: dict[str, Any] = {}
    for name, value in said.items():
        is_empty = isinstance(value, list) and not value  # its shape is not known; a slice has the right one
        if is_empty or (name in _BY_HAND and name != "metric_names"):
            continue
        found[name] = tuple(value) if name in rows and isinstance(value, list) else value
        if isinstance(value, list) and name not in rows:
            found[name] = np.asarray(value, dtype=float)
    return found


def _in_order(metrics: dict[str, Array], noted: Any) -> tuple[str, ...]:
    known = [name for name in noted if name in metrics] if isinstance(noted, tuple) else []
    return (*known, *(name for name in metrics if name not in known))


def _losses(names: tuple[str, ...], values: dict[str, Any]) -> tuple[str, ...]:
    noted = values.get("metric_losses", ())
    return tuple(name for name in names if name in ("test loss", "train loss") or name in noted)


def _as_they_store(surface: PlaneSlice | LineSlice) -> dict[str, Array]:
    """Their name → values in their unit, of the shape of the loss."""
    names = {ours: theirs for theirs, ours in _names("train_loss").items()}
    found = {"train_loss": np.asarray(surface.loss, dtype=float)}
    for name, values in surface.metrics.items():
        theirs = names.get(name, name)
        if theirs in (*found, X, Y, _OURS, "dir_file") or not theirs.strip(".") or "/" in theirs:
            raise UsageError(f"metric {name!r} cannot stand in such a file; rename it in the surface's metric_names")
        found[theirs] = np.asarray(values, dtype=float) * (100 if theirs in _PERCENT else 1)
    if taken := [name for name, grid in found.items() if name not in _EIGENVALUES and (grid == NOT_COMPUTED).any()]:
        raise UsageError(f"{taken[0]!r} is exactly -1 somewhere, which such a file has for what was not computed")
    found.setdefault("train_acc", np.full(surface.loss.shape, NOT_COMPUTED))
    return found
