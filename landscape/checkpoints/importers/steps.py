"""How many steps a checkpoint had made: from what it says inside, from its name, or from who imports it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from landscape.checkpoints.importers.foreign import Foreign, count
from landscape.errors import CheckpointError

_STEP = re.compile(r"(?<![a-z])(?:global_?step|steps?|iter(?:ation)?s?|itr|checkpoint)[-_=]?(\d+)(?!\d)", re.I)
_GLUED = re.compile(r"(?:step|iter)[-_=]?(\d+)(?!\d)", re.I)  # modelstep100
_EPOCH = re.compile(r"(?<![a-z])(?:epochs?|ep)[-_=]?(\d+)(?!\d)", re.I)
_NUMBER = re.compile(r"(?:^|[-_.=])(\d+)$")
_MOST = 18  # digits


class Named(NamedTuple):
    """A number in a name and what it counts: ``"step"``, ``"epoch"`` or, where nothing is said, ``"number"``."""

    what: str
    number: int


class NoStep(CheckpointError):
    """A checkpoint that does not say at which step it was saved."""


def in_name(name: str) -> list[Named]:
    """Numbers of steps and epochs in the name of a file or folder.

    >>> in_name("epoch=4-step=500"), in_name("model_300"), in_name("resnet18")
    ([Named(what='step', number=500), Named(what='epoch', number=4)], [Named(what='number', number=300)], [])
    """
    found = []
    step = _STEP.search(name) or _GLUED.search(name)
    epoch = _EPOCH.search(name)
    if step and len(step[1]) <= _MOST:
        found.append(Named("step", int(step[1])))
    if epoch and len(epoch[1]) <= _MOST:
        found.append(Named("epoch", int(epoch[1])))
    bare = _NUMBER.search(name)
    if not found and bare and len(bare[1]) <= _MOST:
        found.append(Named("number", int(bare[1])))
    return found


def stem(path: Path) -> str:
    """The name without what says its format: of ``checkpoint.pth.tar`` too."""
    return re.sub(r"(\.(pt|pth|ckpt|safetensors|bin|t7|tar))+$", "", path.name, flags=re.I)


def settle(foreign: Foreign, asked: int | None) -> tuple[int, str | None]:
    """The step of a checkpoint, and what a person should know of where it comes from.

    Raises
    ------
    CheckpointError
        If two places say different numbers.
    NoStep
        If none says one.
    """
    named = in_name(stem(foreign.path))
    said = dict(foreign.steps) | {f"its name {foreign.path.name}": n for what, n in named if what == "step"}
    if asked is not None:
        if said and asked not in said.values():
            raise CheckpointError(f"{foreign.path}: --step {asked} contradicts {_listed(said)}")
        return asked, None
    if len(set(said.values())) > 1:
        raise CheckpointError(f"{foreign.path} says two steps: {_listed(said)}. Say which with --step")
    if said:
        return next(iter(said.values())), None
    if (steps := _of_optimizer(foreign)) is not None:
        return steps, f"its step, {steps}, is counted by its optimizer"
    epoch = foreign.epoch
    if epoch is None:
        epoch = next((n for what, n in named if what == "epoch"), None)
    if epoch is not None:
        return epoch, f"it does not say its steps; its epoch, {epoch}, stands for them"
    if named:
        return named[0].number, f"it does not say its steps; {named[0].number}, at the end of its name, stands for them"
    raise NoStep(
        f"{foreign.path} says neither inside nor in its name at which step it was saved; name it with --step N (step=)"
    )


def _of_optimizer(foreign: Foreign) -> int | None:
    """Steps as Adam and others count them, where all parameters have the same."""
    state = (foreign.optimizer or {}).get("state")
    if not isinstance(state, dict) or not state:
        return None
    counts = {count(part.get("step")) if isinstance(part, dict) else None for part in state.values()}
    return counts.pop() if len(counts) == 1 else None


def _listed(said: dict[str, int]) -> str:
    return ", ".join(f"{n} by {where}" for where, n in said.items())
