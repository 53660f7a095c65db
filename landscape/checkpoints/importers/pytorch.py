"""Plain PyTorch: state dicts, averaged models, and the dictionaries that training scripts save around them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from landscape.checkpoints.importers.foreign import (
    Foreign,
    NotACheckpoint,
    count,
    first_count,
    is_state_dict,
    numbers,
    plain_settings,
    tensors_of,
)
from landscape.errors import CheckpointError, UsageError

MODEL = ("model", "state_dict", "model_state_dict", "net", "network", "model_state", "weights", "params", "module")
AVERAGED = (
    "model_ema", "ema", "ema_model", "ema_state_dict", "state_dict_ema", "model_ema_state_dict", "swa", "swa_model",
    "swa_state_dict", "swa_model_state_dict", "averaged_model", "average_model",
)  # fmt: skip
OPTIMIZER = ("optimizer", "optimizer_state_dict", "optim", "opt", "optimizer_state", "optim_state_dict")
SCHEDULER = ("scheduler", "lr_scheduler", "scheduler_state_dict", "lr_scheduler_state_dict", "sched")
# Not "steps" and "epochs", which are as often those that a training was to have in all.
STEP = ("step", "global_step", "iter_num", "itr", "iteration", "iter", "train_step", "num_updates")
EPOCH = ("epoch", "current_epoch")
_BESIDE = ("lr", "seed")
SETTINGS = ("config", "args", "hparams", "hyper_parameters", "cfg")


def read(path: Path, content: Any, *, key: str | None = None) -> Foreign:
    """A state dict, or a dictionary with one in it.

    Raises
    ------
    NotACheckpoint
        If there are no tensors of a model.
    CheckpointError
        If it cannot be told which of several dictionaries is the model.
    """
    if not isinstance(content, Mapping):
        raise NotACheckpoint(f"{path} holds a {type(content).__name__}, not a dictionary with the tensors of a model")
    if key is None and is_state_dict(content):
        tensors = tensors_of(path, content)
        return Foreign(path, "PyTorch state dict", tensors, said=_average(tensors))
    place = _model_key(path, content) if key is None else key
    tensors = tensors_of(path, _at(path, content, place))
    step, epoch = first_count(content, STEP), first_count(content, EPOCH)
    settings = next((content[name] for name in SETTINGS if name in content), None)
    return Foreign(
        path,
        "PyTorch training dictionary",
        tensors,
        optimizer=optimizer_of(content),
        scheduler=_first(content, SCHEDULER),
        steps={f"{step[0]!r} inside": step[1]} if step else {},
        epoch=epoch[1] if epoch else None,
        config=plain_settings({name: content[name] for name in _BESIDE if name in content}) | plain_settings(settings),
        metrics=numbers(content, besides=(*STEP, *EPOCH, *_BESIDE)),
        said=(*_others(content, place), *_average(tensors), *_of_training(content, place), *_several(content)),
    )


def optimizer_of(content: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """The state of an optimizer in a dictionary, where there is exactly one."""
    found = _first(content, OPTIMIZER)
    if isinstance(content.get("optimizer_states"), (list, tuple)) and len(content["optimizer_states"]) == 1:
        found = found or content["optimizer_states"][0]
    return found if isinstance(found, Mapping) and {"state", "param_groups"} <= set(found) else None


def _model_key(path: Path, content: Mapping[Any, Any]) -> str:
    """Where the model's tensors stand."""
    for name in (*MODEL, *AVERAGED):
        if is_state_dict(content.get(name)):
            return name
    places = [place for place in _places(content) if place.partition(".")[0] not in (*OPTIMIZER, *SCHEDULER)]
    if len(places) == 1:
        return places[0]
    if places:
        raise CheckpointError(
            f"{path} holds tensors under {', '.join(places[:8])}; say which are the model's with --key {places[0]}"
        )
    keys = ", ".join(str(name) for name in list(content)[:8]) or "nothing"
    raise NotACheckpoint(f"{path} holds no tensors of a model; it has {keys}")


def _places(content: Mapping[Any, Any], above: str = "", depth: int = 3) -> Iterator[str]:
    """Keys, joined by dots, under which a state dict stands."""
    for name, value in content.items():
        if not isinstance(value, Mapping) or not isinstance(name, str):
            continue
        if is_state_dict(value):
            yield f"{above}{name}"
        elif depth > 1 and not {"state", "param_groups"} <= set(value):
            yield from _places(value, f"{above}{name}.", depth - 1)


def _at(path: Path, content: Mapping[Any, Any], place: str) -> Mapping[str, Any]:
    found: Any = content
    for part in [place] if place in content else place.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not is_state_dict(found):
        there = ", ".join(_places(content)) or "none"
        raise UsageError(f"{path} has no tensors under key={place!r}; there are {there}")
    return dict(found)


def _first(content: Mapping[Any, Any], keys: tuple[str, ...]) -> Any:
    return next((content[key] for key in keys if isinstance(content.get(key), Mapping)), None)


def _others(content: Mapping[Any, Any], place: str) -> Iterator[str]:
    others = [name for name in (*MODEL, *AVERAGED) if name != place and is_state_dict(content.get(name))]
    if others:
        yield f"the tensors under {place!r} are taken; there are also {', '.join(others)} (--key {others[0]})"


def _average(tensors: Mapping[str, Any]) -> tuple[str, ...]:
    """What an averaged model says of itself."""
    averaged = count(tensors["n_averaged"]) if "n_averaged" in tensors else None
    return (f"it is an average of {averaged} models (n_averaged)",) if averaged is not None else ()


def _of_training(content: Mapping[Any, Any], place: str) -> Iterator[str]:
    """An optimizer goes with the weights in training, whose squared gradients it has."""
    if place in AVERAGED and optimizer_of(content) is not None:
        yield f"the state of its optimizer belongs to the weights in training, not to those under {place!r}"


def _several(content: Mapping[Any, Any]) -> Iterator[str]:
    for name in (*OPTIMIZER, "optimizers", "optimizer_states"):
        value = content.get(name)
        if isinstance(value, (list, tuple)) and len(value) > 1:
            yield f"it has {len(value)} optimizers, and a checkpoint has one: their states are left out"
