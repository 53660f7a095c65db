"""Directions in parameter space in files of the loss-landscape code, without names: matched by order and shape."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_choice
from landscape.errors import ResultsError, UsageError
from landscape.exchange.original import DIRECTIONS, reading, writing
from landscape.files import Dataset, Group, NewGroup
from landscape.params import ParamLayout
from landscape.results.base import Array

KINDS = ("weights", "states")


@dataclass(frozen=True)
class _Entry:
    """A tensor that such a file lists: its name in the model, and that of the parameter it is, None of a buffer."""

    name: str
    tensor: Tensor
    parameter: str | None


def read_direction(path: str | Path, model: Any, *, outside: str = "refuse") -> Tensor:
    """The direction, or both, of a file of the loss-landscape code, as vectors over θ.

    Such a file lists tensors without names, in the order of ``model.parameters()`` (its ``dir_type weights``) or of
    ``model.state_dict()`` (``states``). Number and shapes of all of them decide which, and must agree.

    Parameters
    ----------
    path : str or Path
    model : nn.Module or Objective
        The model it was made for; of an Objective also which parameters are in θ.
    outside : {"refuse", "drop"}
        What to do where a direction moves what θ has not: buffers, such as running statistics, and frozen parameters.
        Dropped, the vectors lead along another path than that of the file's own surfaces.

    Returns
    -------
    (P,) or (P, 2) tensor
        One column for each direction, as :func:`~landscape.geometry.evaluate_line` and
        :func:`~landscape.geometry.evaluate_plane` take them, in the parameters' type.

    Raises
    ------
    ResultsError
        If the file is missing, damaged, or no direction.
    UsageError
        If its tensors are not those of the model; if it moves what is not in θ, and ``outside`` is ``"refuse"``.
    """
    check_choice("outside", outside, ("refuse", "drop"))
    module, layout = _of(model)
    columns = []
    with reading(path, "direction") as file:
        for name in [name for name in DIRECTIONS if name in file]:
            where = f"{name} of {path}"
            arrays = _arrays(file.group(name), where)
            columns.append(_vector(arrays, _matching(arrays, module, where), layout, where, outside))
    return columns[0] if len(columns) == 1 else torch.stack(columns, dim=1)


def write_direction(
    direction: Any,
    path: str | Path,
    model: Any,
    *,
    kind: str = "weights",
    explained_variance_ratio: Sequence[float] | None = None,
) -> Path:
    """Write one or two directions as the loss-landscape code does, for its ``--dir_file``.

    Parameters
    ----------
    direction : (P,) or (P, 2) tensor or array
    path : str or Path
        There as a whole or not at all.
    model : nn.Module or Objective
    kind : {"weights", "states"}
        That code's ``dir_type``. Of what is not in θ, as buffers, the direction is 0.
    explained_variance_ratio : (2,), optional
        Of principal components, for the labels of that code's plots of trajectories.

    Raises
    ------
    UsageError
        If the direction does not fit the model, or is not finite.
    ResultsError
        If the file cannot be written.
    """
    check_choice("kind", kind, KINDS)
    module, layout = _of(model)
    vectors = _as_columns(direction, layout)
    ratio = None if explained_variance_ratio is None else np.asarray(explained_variance_ratio, dtype=float)
    if ratio is not None and (ratio.shape != (2,) or not np.isfinite(ratio).all()):
        raise UsageError(f"explained_variance_ratio={explained_variance_ratio!r} must be two shares, one a direction")
    entries = list(_entries(module, kind))
    with writing(path) as file:
        for name, vector in zip(DIRECTIONS, vectors.unbind(1), strict=False):
            _write(file.create_group(name), layout.unflatten(vector), entries)
        if ratio is not None:
            file.create_dataset("explained_variance_ratio_", data=ratio)
    return Path(path)


def _of(model: Any) -> tuple[nn.Module, ParamLayout]:
    if isinstance(model, nn.Module):
        return model, ParamLayout.of(model)
    layout, module = getattr(model, "layout", None), getattr(getattr(model, "module", None), "model", None)
    if not isinstance(layout, ParamLayout) or not isinstance(module, nn.Module):
        raise UsageError(
            f"model is a {type(model).__name__}; it must be the nn.Module of the direction, or an Objective"
        )
    return module, layout


def _entries(module: nn.Module, kind: str) -> Iterator[_Entry]:
    """The tensors of a file of this kind, in its order. Tied ones stand once among weights, each time among states."""
    names = {id(tensor): name for name, tensor in module.named_parameters()}
    if kind == "weights":
        yield from (_Entry(name, tensor, name) for name, tensor in module.named_parameters())
        return
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, Tensor):
            yield _Entry(name, tensor, names.get(id(tensor)))


def _arrays(group: Group, where: str) -> list[Array]:
    if set(group) != {str(i) for i in range(len(group))} or not group:
        raise ResultsError(f"{where} must list its tensors as '0', '1', …; it has {sorted(group)[:5]}")
    found = []
    for i in range(len(group)):
        node = group[str(i)]
        if not isinstance(node, Dataset) or node.is_text:
            raise ResultsError(f"{where}: {i} is no tensor")
        values = node[()]
        if not np.isfinite(values).all():
            raise ResultsError(f"{where}: {i} has values that are not finite")
        found.append(values)
    return found


def _matching(arrays: list[Array], module: nn.Module, where: str) -> list[_Entry]:
    """The tensors of the model that the arrays are of."""
    lists = {kind: list(_entries(module, kind)) for kind in KINDS}
    faults = {}
    for kind, entries in lists.items():
        shapes = [tuple(entry.tensor.shape) for entry in entries]
        if [array.shape for array in arrays] == shapes:
            return entries
        pairs = zip(arrays, shapes, strict=False)
        faults[kind] = next((i for i, (array, shape) in enumerate(pairs) if array.shape != shape), len(arrays))
    weights, states = (len(lists[kind]) for kind in KINDS)
    if len(arrays) not in (weights, states):
        raise UsageError(
            f"{where} has {len(arrays)} tensors; the model has {weights} parameters and {states} entries in its "
            "state_dict(). A direction has no names: give the model that it was made for"
        )
    kind = "weights" if len(arrays) == weights else "states"
    i = faults[kind]
    raise UsageError(
        f"{where}: tensor {i} has shape {arrays[i].shape}, but the model's {lists[kind][i].name!r}, which is there, "
        f"has {tuple(lists[kind][i].tensor.shape)}. A direction has no names: give the model that it was made for"
    )


def _vector(arrays: list[Array], entries: list[_Entry], layout: ParamLayout, where: str, outside: str) -> Tensor:
    named: dict[str, Tensor] = {}
    moved: dict[str, float] = {}
    for array, entry in zip(arrays, entries, strict=True):
        if entry.parameter not in layout.names:
            if np.any(array):
                moved[entry.name] = float(np.abs(array).max())
            continue
        values = torch.from_numpy(np.array(array, dtype=float)).to(entry.tensor.device, entry.tensor.dtype)
        known = named.setdefault(entry.parameter, values)
        if known is not values and not torch.equal(known, values):
            raise UsageError(f"{where}: {entry.name!r} is tied to {entry.parameter!r}, but moves otherwise")
    if moved and outside == "refuse":
        name, most = max(moved.items(), key=lambda item: item[1])
        raise UsageError(
            f"{where} moves {len(moved)} tensors that are not in θ, such as {name!r} by up to {most:.4g}: buffers or "
            "frozen parameters. outside='drop' leaves them where they are, which is another path than that of the file"
        )
    return layout.flatten(named)


def _as_columns(direction: Any, layout: ParamLayout) -> Tensor:
    try:
        vectors = torch.as_tensor(direction).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"direction is a {type(direction).__name__}; it must be a tensor or an array") from None
    vectors = vectors[:, None] if vectors.ndim == 1 else vectors
    if vectors.ndim != 2 or vectors.shape[0] != layout.size or vectors.shape[1] not in (1, 2):
        raise UsageError(
            f"direction has shape {tuple(np.shape(direction))}; θ has {layout.size} entries, so ({layout.size},) or "
            f"({layout.size}, 2) fits"
        )
    if not torch.isfinite(vectors).all():
        raise UsageError("direction has values that are not finite")
    return vectors


def _write(group: NewGroup, named: dict[str, Tensor], entries: list[_Entry]) -> None:
    for i, entry in enumerate(entries):
        values = named.get(entry.parameter or "")
        wide = entry.tensor.dtype == torch.float64
        array = np.zeros(tuple(entry.tensor.shape)) if values is None else values.numpy()
        group.create_dataset(str(i), data=np.array(array, dtype=np.float64 if wide else np.float32))
