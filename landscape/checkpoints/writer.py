"""Write a checkpoint of any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape import distributed
from landscape.checkpoints.files import write_file
from landscape.checkpoints.format import escape, tensors_hash, write_json, write_tensor, write_tree
from landscape.checks import check_count
from landscape.errors import CheckpointError, UsageError
from landscape.files import NewGroup
from landscape.problems import Problem, resolve_config
from landscape.version import __version__

FILE_NAME = "step_{:08d}.h5"


def save_checkpoint(
    dir: str | Path,
    model: nn.Module,
    *,
    step: int,
    problem: Problem | str | None = None,
    optimizer: torch.optim.Optimizer | Mapping[str, Any] | None = None,
    scheduler: Any = None,
    metrics: Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    resume: Mapping[str, Any] | None = None,
    history: Mapping[str, Sequence[float]] | None = None,
) -> Path:
    """Write ``dir/step_<step>.h5``, as a whole or not at all.

    Parameters
    ----------
    dir : path
        Made where it does not exist. One process writes into one folder.
    model : nn.Module
        Any model; the wrappers of ``torch.compile`` and data parallelism are looked through. Parameters and persistent
        buffers are stored, a tied parameter once with its other names beside it. Of one whose parameters are in shards
        (``fully_shard``, DTensor) all ranks make the same call: they gather it, tensor by tensor, with the state of the
        optimizer, and rank 0 writes the file.
    step : int
        Optimizer steps made so far; a file of the same step is replaced.
    problem : Problem or str, optional
        What the model was trained on, so that ``checkpoint.objective()`` needs nothing else.
    optimizer, scheduler : optional
        Their states are stored, the optimizer's by parameter name. Of an optimizer that is no more, its state as
        :meth:`Checkpoint.optimizer_state` gives it, and of a schedule its ``state_dict()``.
    metrics : mapping, optional
        JSON values, e.g. ``{"train_loss": 0.01, "test_accuracy": 0.98, "accuracy_per_class": [...]}``.
    config : mapping, optional
        JSON values that say how the model was trained; ``optimizer``, ``lr`` and ``seed`` among them are also
        stored by themselves.
    resume : mapping, optional
        Dicts, lists, tensors and JSON values that a training script needs to go on exactly.
    history : mapping, optional
        Numbers for each step since the last checkpoint, e.g. ``{"loss": […], "step_size": […]}``, the last one that of
        the step that led here.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    CheckpointError
        If the folder cannot be written, the disk is full, or a value can be stored in no other way than by pickle.
    LandscapeError
        If parameters are in shards, and ranks have different ones, or one of them saves alone.
    """
    step = check_count("step", step, least=0)
    if len({len(values) for values in (history or {}).values()}) > 1:
        raise UsageError("history must have as many numbers of one name as of another: one for each step")
    stored = _stored(unwrap(model), optimizer, resume)
    state, facts = stored.optimizer, _facts(step, stored.optimizer, dict(config or {}))

    def fill(file: NewGroup) -> None:
        _write_model(file, stored)
        if problem is not None:
            facts["problem"], problem_config = _identify(problem)
            write_json(file, "problem_config", problem_config)
        for key, value in facts.items():
            file.attrs[key] = value
        write_json(file, "metrics", _plain(metrics or {}))
        write_json(file, "config", _plain(config or {}))
        if state is not None:
            _write_optimizer(file, state)
        if scheduler is not None:
            write_tree(file, "scheduler", dict(scheduler) if isinstance(scheduler, Mapping) else scheduler.state_dict())
        if stored.resume is not None:
            write_tree(file, "resume", dict(stored.resume))
        if history is not None:
            group = file.create_group("history")
            for name, values in history.items():
                group.create_dataset(escape(name), data=np.asarray(values, dtype=np.float64))

    path = Path(dir) / FILE_NAME.format(step)
    if stored.is_gathered:
        distributed.by_first(lambda: write_file(path, fill), "the writing of a checkpoint")
    else:
        write_file(path, fill)
    return path


@dataclass(frozen=True)
class _Stored:
    """What a file holds of a model, its optimizer, and what a training needs to go on."""

    tensors: Mapping[str, Tensor]
    trainable: Mapping[str, bool]
    names: Mapping[str, list[str]]
    buffers: Mapping[str, Tensor]
    optimizer: Mapping[str, Any] | None
    resume: Mapping[str, Any] | None
    is_gathered: bool = False


def _stored(model: nn.Module, optimizer: Any, resume: Mapping[str, Any] | None) -> _Stored:
    """Of a model in shards rank 0 has all of it, in full, and the others nothing but the names."""
    distributed.refuse_flat(model)
    if not distributed.is_in_shards(model):
        return _as_it_stands(model, optimizer, resume)
    with distributed.gathering(model):
        stored = _as_it_stands(model, optimizer, resume)
        parts = {name: getattr(stored, name) for name in ("tensors", "buffers", "optimizer", "resume")}
        return replace(stored, **distributed.whole_on_first(parts), is_gathered=True)


def _as_it_stands(model: nn.Module, optimizer: Any, resume: Mapping[str, Any] | None) -> _Stored:
    tensors = named_tensors(model)
    state = named_state(optimizer, model) if isinstance(optimizer, torch.optim.Optimizer) else optimizer
    return _Stored(
        tensors, {name: tensor.requires_grad for name, tensor in tensors.items()}, parameter_names(model),
        persistent_buffers(model), state, resume,
    )  # fmt: skip


def _identify(problem: Problem | str) -> tuple[str, dict[str, Any]]:
    if isinstance(problem, Problem):
        return problem.name, problem.config
    return problem, resolve_config(problem)


def _facts(step: int, state: Mapping[str, Any] | None, config: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "step": step,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "landscape_version": __version__,
        "torch_version": str(torch.__version__),  # a subclass of str, which HDF5 does not know
    }
    if state is not None:
        facts |= {"optimizer": state["class"].lower(), "lr": float(state["param_groups"][0]["lr"])}
    known = {"optimizer": str, "lr": float, "seed": int}
    return facts | {key: kind(config[key]) for key, kind in known.items() if config.get(key) is not None}


def unwrap(model: nn.Module) -> nn.Module:
    """The model inside ``torch.compile``, DataParallel and DistributedDataParallel."""
    return distributed.unwrapped(model)  # type: ignore[no-any-return]


def plain_name(name: str) -> str:
    """A name without the mark of compiled submodules.

    >>> plain_name("encoder._orig_mod.fc1.weight")
    'encoder.fc1.weight'
    """
    return ".".join(part for part in name.split(".") if part != "_orig_mod")


def parameter_names(model: nn.Module) -> dict[str, list[str]]:
    """Each distinct parameter's name → its other names, in the order of ``named_parameters()``."""
    names: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise CheckpointError(
                f"parameter {name!r} of a lazy module has no shape yet; run the model once, then save"
            )
        names.setdefault(id(parameter), []).append(plain_name(name))
    return {first: others for first, *others in names.values()}


def named_tensors(model: nn.Module) -> dict[str, nn.Parameter]:
    """Distinct parameters by plain name."""
    return {plain_name(name): parameter for name, parameter in model.named_parameters()}


def persistent_buffers(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that belong to the model's state, by plain name; the others are recomputed by the model."""
    found = {}
    for path, module in model.named_modules():
        for name, buffer in module._buffers.items():
            if buffer is not None and name not in module._non_persistent_buffers_set:
                found[plain_name(f"{path}.{name}" if path else name)] = buffer
    return found


def _write_model(file: NewGroup, stored: _Stored) -> None:
    tensors = {name: tensor.detach().cpu() for name, tensor in stored.tensors.items()}
    group = file.create_group("params")
    for index, (name, tensor) in enumerate(tensors.items()):
        dataset = write_tensor(group, name, tensor)
        # HDF5 lists links by name; the index keeps the model's own order, that of the flat vector.
        dataset.attrs["index"], dataset.attrs["trainable"] = index, stored.trainable[name]
    buffers = file.create_group("buffers")
    for name, buffer in stored.buffers.items():
        write_tensor(buffers, name, buffer)
    write_json(file, "aliases", {other: name for name, others in stored.names.items() for other in others})
    file.attrs["num_parameters"] = sum(tensor.numel() for tensor in tensors.values())
    file.attrs["params_sha256"] = tensors_hash(tensors)


def named_state(optimizer: torch.optim.Optimizer, model: nn.Module) -> dict[str, Any]:
    """The state by parameter name, so that it can be read without the order in which the optimizer was given them."""
    name_of_tensor = {id(parameter): name for name, parameter in named_tensors(model).items()}
    ordered = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    # torch numbers the parameters in the order of its groups; one outside the model keeps its number.
    names = [name_of_tensor.get(id(parameter), f"#{index}") for index, parameter in enumerate(ordered)]
    state = optimizer.state_dict()
    groups = [{**_plain(g), "params": [names[index] for index in g["params"]]} for g in state["param_groups"]]
    parts = {names[index]: part for index, part in state["state"].items()}
    return {"class": type(optimizer).__name__, "param_groups": groups, "state": parts}


def _write_optimizer(file: NewGroup, state: Mapping[str, Any]) -> None:
    group = file.create_group("optimizer")
    group.attrs["class"] = state["class"]
    write_json(group, "param_groups", _plain(state["param_groups"]))
    write_tree(group, "state", state["state"])


def _plain(value: Any) -> Any:
    """JSON's own types for NumPy and torch numbers."""
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, (Tensor, np.ndarray, np.generic)):
        return value.tolist()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise CheckpointError(f"{value!r} is a {type(value).__name__}; metrics, config and optimizer settings must be JSON")
