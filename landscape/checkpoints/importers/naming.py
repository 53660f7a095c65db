"""Which tensor of a file is which of a model: by name and shape, exactly, through the prefixes that wrappers add."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from landscape.checkpoints.importers.renames import one_rename, renamed
from landscape.checkpoints.writer import named_tensors, parameter_names, persistent_buffers
from landscape.errors import CheckpointError, UsageError

#: What torch.compile, FSDP and activation checkpointing put into the middle of names.
_INSIDE = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
_DEEPEST = 4  # components of a prefix
_LATER = "num_batches_tracked"  # which BatchNorm counts since torch 0.4.1
_SHOWN = 6


@dataclass(frozen=True)
class Places:
    """Where the tensors of a file go.

    Attributes
    ----------
    source : dict
        Name of each distinct parameter and persistent buffer of the model → the name in the file.
    order : tuple of str
        The parameters among them, in the order in which the file has them.
    said : tuple of str
        Prefixes and renames found, ties restored, what was left out.
    """

    source: dict[str, str]
    order: tuple[str, ...]
    said: tuple[str, ...]


@dataclass(frozen=True)
class _Wanted:
    """A model's distinct tensors with all their names."""

    shapes: dict[str, tuple[int, ...]]
    first: dict[str, str]  # any name → the name of the distinct tensor

    @staticmethod
    def of(model: nn.Module) -> _Wanted:
        tensors = {**named_tensors(model), **persistent_buffers(model)}
        first = {name: name for name in tensors}
        first |= {other: name for name, others in parameter_names(model).items() for other in others}
        return _Wanted({name: tuple(tensor.shape) for name, tensor in tensors.items()}, first)

    def fits(self, name: str, shape: tuple[int, ...]) -> bool:
        return name in self.first and self.shapes[self.first[name]] == shape

    def filled_by(self, names: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]]) -> set[str]:
        """The distinct tensors that have a partner of their shape."""
        return {self.first[name] for name, key in names.items() if self.fits(name, shapes[key])}

    def missing(self, filled: Iterable[str]) -> list[str]:
        """What has none and must have one."""
        have = set(filled)
        return [name for name in self.shapes if name not in have and name.rpartition(".")[2] != _LATER]


def place(
    path: Path,
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    prefix: str | None = None,
    rename: Mapping[str, str] | None = None,
    ignore: Sequence[str] = (),
) -> Places:
    """Find the partner of every tensor.

    Parameters
    ----------
    prefix : str, optional
        With which the names of the file begin that are meant; left out, it is found.
    rename : mapping, optional
        Parts of names in the file → what the model has there.
    ignore : sequence of str
        Globs of names in the file that have no place in the model and need none.

    Raises
    ------
    CheckpointError
        If tensors are left over on either side, with their names and the one rename that would place them all; if two
        prefixes fit; if tensors that the model ties differ in the file.
    """
    wanted, said = _Wanted.of(model), list[str]()
    kept = {key: tensor for key, tensor in tensors.items() if not any(fnmatch.fnmatchcase(key, g) for g in ignore)}
    if len(kept) < len(tensors):
        said.append(f"left out as asked: {_few([key for key in tensors if key not in kept])}")
    plain = _plain(path, kept, rename or {}, said)
    shapes = {key: tuple(tensor.shape) for key, tensor in kept.items()}
    strip, add = _best(path, wanted, plain, shapes, prefix)
    names = {add + name.removeprefix(strip): key for name, key in plain.items() if name.startswith(strip)}
    over = [key for name, key in plain.items() if not name.startswith(strip)]
    over += [key for name, key in names.items() if not wanted.fits(name, shapes[key])]
    over = [key for key in over if key != "n_averaged"]
    missing = wanted.missing(wanted.filled_by(names, shapes))
    if over or missing:
        raise CheckpointError(_misfit(path, model, wanted, missing, over, names, shapes, strip))
    if strip or add:
        what = f"{strip!r} taken off" if strip else ""
        said.append(f"prefix {' and '.join(filter(None, [what, f'{add!r} put before' if add else '']))} all names")
    source = _one_of_each(path, wanted, {name: key for name, key in names.items() if name in wanted.first}, kept, said)
    if later := [name for name in wanted.shapes if name not in source]:
        said.append(f"{len(later)} counts of batches (num_batches_tracked) are not in the file and stay at 0")
    parameters = set(named_tensors(model))
    order = dict.fromkeys(wanted.first[name] for name in names if name in wanted.first)
    return Places(source, tuple(name for name in order if name in parameters), tuple(said))


def _plain(path: Path, tensors: Mapping[str, Tensor], rename: Mapping[str, str], said: list[str]) -> dict[str, str]:
    """Plain name → name in the file."""
    found: dict[str, str] = {}
    marks: Counter[str] = Counter()
    for key in tensors:
        parts = key.split(".")
        marks.update(part for part in set(parts) if part in _INSIDE)
        name = ".".join(part for part in parts if part not in _INSIDE)
        for old, new in rename.items():
            name = renamed(name, old, new)
        if name in found:
            raise CheckpointError(f"{path}: {found[name]} and {key} both come to {name}")
        found[name] = key
    said.extend(f"{mark!r} taken out of {n} names" for mark, n in marks.items())
    for old, new in rename.items():
        said.append(f"{old!r} renamed to {new!r} as asked")
    return found


def _prefixes(names: Iterable[str], least: int) -> list[str]:
    """Beginnings, up to a dot, that at least so many names share; the empty one first."""
    counted: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        counted.update(".".join(parts[:depth]) + "." for depth in range(1, min(len(parts), _DEEPEST + 1)))
    return ["", *(prefix for prefix, n in counted.items() if n >= least)]


def _best(
    path: Path, wanted: _Wanted, plain: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], asked: str | None
) -> tuple[str, str]:
    """What to take off the file's names, and what to put before them, so that most of the model is filled."""
    if asked is not None and not any(name.startswith(asked) for name in plain):
        raise UsageError(f"prefix={asked!r}: no name in {path} begins with it")
    strips = [asked] if asked is not None else _prefixes(plain, max(1, len(wanted.missing(())) // 2))
    adds = _prefixes(wanted.first, len(wanted.first))
    found: dict[tuple[str, str], set[str]] = {}
    for strip in strips:
        for add in adds:
            names = {add + name[len(strip) :]: key for name, key in plain.items() if name.startswith(strip)}
            found[strip, add] = wanted.filled_by(names, shapes)
    full = [pair for pair, filled in found.items() if not wanted.missing(filled)]
    if len({strip for strip, _ in full}) > 1 and full[0] != ("", ""):
        raise CheckpointError(
            f"{path} has tensors for the whole model more than once, under {_few([strip for strip, _ in full])}; say "
            f"which are meant with --prefix {full[0][0]}, and --ignore those of the others"
        )
    return full[0] if full else max(found, key=lambda pair: len(found[pair]))


def _one_of_each(
    path: Path, wanted: _Wanted, names: Mapping[str, str], tensors: Mapping[str, Tensor], said: list[str]
) -> dict[str, str]:
    """One name in the file for each tensor; where the model ties several that the file has, they must be equal."""
    source: dict[str, str] = {}
    tied: dict[str, int] = {}
    for name, key in names.items():
        first = wanted.first[name]
        if first not in source:
            source[first] = key
            continue
        if not _same(tensors[source[first]], tensors[key]):
            raise CheckpointError(
                f"{path}: {source[first]} and {key} are one tensor in this model and differ in the file; its model did "
                "not tie them"
            )
        tied[first] = tied.get(first, 1) + 1
    others: dict[str, list[str]] = {}
    for name, first in wanted.first.items():
        if name != first:
            others.setdefault(first, []).append(name)
    said.extend(f"tied again: {_few([first, *names_])}" for first, names_ in others.items())
    return source


def _same(a: Tensor, b: Tensor) -> bool:
    """Bit for bit; NaN is equal to itself."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.data_ptr() == b.data_ptr() and a.stride() == b.stride():
        return True
    whole = (part.contiguous().reshape(-1).view(torch.uint8) for part in (a, b))
    return torch.equal(*whole)


def _misfit(
    path: Path,
    model: nn.Module,
    wanted: _Wanted,
    missing: list[str],
    over: list[str],
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
    strip: str,
) -> str:
    """What is left over on either side, and the rename that would place it."""
    other = {name: shapes[key] for name, key in names.items() if name in wanted.first and key in set(over)}
    listed = [
        ("the model has and the file lacks", [name for name in missing if name not in map(wanted.first.get, other)]),
        ("the file has and the model lacks", [key for key in over if key not in {names[n] for n in other}]),
        ("of another shape", list(_shapes(wanted, other))),
    ]
    under = f" under {strip!r}" if strip else ""
    said = "; ".join(f"{what}: {_few(found)}" for what, found in listed if found)
    said = f"{path}{under} does not fit this {type(model).__name__}: {said}"
    unplaced = {name: shapes[key] for name, key in names.items() if key in set(over) and name not in wanted.first}
    if pair := one_rename(unplaced, {name: wanted.shapes[name] for name in missing}):
        return f"{said}. All that is missing would fit with --rename {pair[0]}={pair[1]}"
    if not missing:
        globs = " ".join(f"--ignore '{glob}'" for glob in _globs(over))
        return f"{said}. If the model needs none of them: {globs}"
    return said


def _shapes(wanted: _Wanted, other: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    for name, shape in other.items():
        yield f"{name} is {_shape(shape)} in the file and {_shape(wanted.shapes[wanted.first[name]])} in the model"


def _globs(keys: Sequence[str]) -> list[str]:
    """The keys themselves where they are few, else by their first part."""
    if len(keys) <= 2:
        return list(keys)
    return sorted({f"{key.partition('.')[0]}.*" if "." in key else key for key in keys})


def _shape(shape: tuple[int, ...]) -> str:
    return " × ".join(map(str, shape)) or "a number"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
