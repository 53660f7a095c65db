"""One checkpoint of another library through the model of a problem into a file of ours."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from landscape.checkpoints.compatibility import check_kinds
from landscape.checkpoints.files import DamagedCheckpoint
from landscape.checkpoints.format import tensors_hash
from landscape.checkpoints.importers.foreign import Foreign
from landscape.checkpoints.importers.formats import files_of, read_foreign
from landscape.checkpoints.importers.naming import Places, place
from landscape.checkpoints.importers.optimizer_states import NamedState, by_name
from landscape.checkpoints.importers.pickles import readable
from landscape.checkpoints.importers.steps import NoStep, settle
from landscape.checkpoints.reader import Checkpoint, load_checkpoint
from landscape.checkpoints.runs import checkpoint_files
from landscape.checkpoints.writer import FILE_NAME, named_tensors, persistent_buffers, save_checkpoint, unwrap
from landscape.errors import CheckpointError
from landscape.files import opened
from landscape.files.json_shapes import CONFIG, usable
from landscape.problems import Problem


@dataclass(frozen=True)
class Asked:
    """What a person says of checkpoints that do not say it themselves; see :func:`import_checkpoint`."""

    step: int | None = None
    optimizer: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
    prefix: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    ignore: Sequence[str] = ()
    order: str | None = None
    allow: Sequence[str] = ()


@dataclass(frozen=True)
class Converted:
    """A file that was written, or that was there already with the same parameters.

    Attributes
    ----------
    path : Path
    said : tuple of str
        What was found and decided on the way.
    is_new : bool
    """

    path: Path
    said: tuple[str, ...]
    is_new: bool = True


def convert(source: Path, into: Path, problem: Problem, asked: Asked, *, label: str) -> Converted:
    """Read, fit to the problem's model, and write ``into/step_<step>.h5``.

    Parameters
    ----------
    label : str
        How the new file names its source.

    Raises
    ------
    CheckpointError
        If the file cannot be read or does not fit, or another checkpoint of the same step is there.
    """
    digest = content_hash(source)
    foreign = read_foreign(source, allow=asked.allow, key=asked.key)
    config = _config(foreign, asked)
    model = unwrap(problem.make_model(config.get("seed", 0)))
    places = place(
        source, model, foreign.tensors, prefix=asked.prefix, rename=asked.rename, ignore=asked.ignore
    )  # fmt: skip
    widened = _fill(source, model, foreign.tensors, places)
    state = by_name(foreign, model, places.order if foreign.is_ordered else [*named_tensors(model)],
                    asked=asked.optimizer, convention=asked.order)  # fmt: skip
    notes = tuple(filter(None, (*foreign.said, *places.said, widened, *state.said)))
    params = tensors_hash(named_tensors(model))
    try:
        step, how = settle(foreign, asked.step)
    except NoStep:
        same = [file for file in checkpoint_files(into).values() if _params_of(file) == params]
        if not same:
            raise
        return Converted(same[-1], (*notes, f"the same parameters are in {same[-1]} already"), is_new=False)
    said = notes if how is None else (how, *notes)
    target = into / FILE_NAME.format(step)
    there = _there(target)
    if there is not None and (of := (there.config.get("imported") or {}).get("source", "elsewhere")) != label:
        if there.params_sha256 == params:
            return Converted(target, (*said, f"the same parameters are in {target} already"), is_new=False)
        raise CheckpointError(
            f"{source} is of step {step}, as is {target}, made of {of}, and has other parameters; import it into a "
            "folder of its own, or name its step with --step"
        )
    provenance = {"source": label, "sha256": digest, "format": foreign.format, "said": list(said)}
    return Converted(_write(into, model, step, problem, foreign, state, {**config, "imported": provenance}), said)


def _there(file: Path) -> Checkpoint | None:
    """The checkpoint of that name, if there is one; a damaged one is worth nothing and gives way."""
    try:
        return load_checkpoint(file) if file.exists() else None
    except DamagedCheckpoint:
        return None


def _params_of(file: Path) -> str | None:
    there = _there(file)
    return None if there is None else there.params_sha256


def _write(
    into: Path,
    model: nn.Module,
    step: int,
    problem: Problem,
    foreign: Foreign,
    state: NamedState,
    config: dict[str, Any],
) -> Path:
    if state.name is not None:
        config.setdefault("optimizer", state.name.lower())
    if state.lr is not None:
        config.setdefault("lr", state.lr)
    metrics = dict(foreign.metrics) | ({"epoch": foreign.epoch} if foreign.epoch is not None else {})
    known = problem if problem.name else None
    save: dict[str, Any] = {"step": step, "problem": known, "metrics": metrics, "config": config}
    try:
        return save_checkpoint(into, model, **save, optimizer=state.state, scheduler=foreign.scheduler)
    except CheckpointError:
        if foreign.scheduler is None:
            raise
        # A schedule may hold what has no place in a file of ours; nothing is measured from it.
        config["imported"]["said"].append("its schedule holds more than numbers and is left out")
        return save_checkpoint(into, model, **save, optimizer=state.state)


def _config(foreign: Foreign, asked: Asked) -> dict[str, Any]:
    """Settings found in the file, of the right kinds, under those that a person names."""
    found = usable(dict(foreign.config), CONFIG)
    for key, kinds in {"optimizer": (str,), "lr": (int, float), "seed": (int,)}.items():
        if key in found and (isinstance(found[key], bool) or not isinstance(found[key], kinds)):
            del found[key]
    if isinstance(found.get("seed"), int) and found["seed"] < 0:
        del found["seed"]
    named = {"optimizer": asked.optimizer.lower()} if asked.optimizer else {}
    return found | named | dict(asked.config)


def _fill(source: Path, model: nn.Module, tensors: Mapping[str, Tensor], places: Places) -> str | None:
    """Copy the tensors in, each to the last bit; a type that holds all its values may be another one."""
    wanted: dict[str, Tensor] = {**named_tensors(model), **persistent_buffers(model)}
    chosen = {name: tensors[key] for name, key in places.source.items()}
    check_kinds(source, model, {name: chosen.get(name, tensor) for name, tensor in wanted.items()})
    changed: dict[str, int] = {}
    with torch.no_grad():
        for name, tensor in chosen.items():
            own = wanted[name]
            if tensor.dtype != own.dtype:
                back = tensor.to(own.dtype).to(tensor.dtype)
                if not bool(((back == tensor) | (tensor != tensor)).all()):
                    raise CheckpointError(
                        f"{source}: {name} is {_type(tensor)} in the file and {_type(own)} in the model, which would "
                        f"round it. Build the model with {_type(tensor)}, or save the file as {_type(own)} on purpose"
                    )
                both = f"{_type(tensor)} in the file, {_type(own)} in the model"
                changed[both] = changed.get(both, 0) + 1
            own.copy_(tensor)
    return "; ".join(f"{n} tensors are {both}: no value changes" for both, n in changed.items()) or None


def content_hash(source: Path) -> str:
    """SHA-256 over the files that are read of a checkpoint, each with its name and length.

    Raises
    ------
    CheckpointError
        If one cannot be read.
    """
    digest = hashlib.sha256()
    for path in files_of(source):
        with readable(path), opened(path) as raw:
            digest.update(f"{path.name}:{path.stat().st_size}:".encode())
            while block := raw.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
