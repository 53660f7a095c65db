"""The two models at the ends of a line: what moves between them, and how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from landscape.checks import check_choice
from landscape.errors import UsageError
from landscape.geometry.batch_statistics import STATISTICS, layers, moved_by_training, recomputed, same
from landscape.geometry.batch_statistics import statistics_of as gathered_by
from landscape.objective import Objective, Vector

_MODEL = "model."  # in front of the names of its constants


@dataclass(frozen=True)
class End:
    """One end: θ, and the model's frozen parameters and buffers there, or None where θ alone is known."""

    theta: Tensor
    constants: dict[str, Tensor] | None


@dataclass(frozen=True)
class Between:
    """What lies between two ends.

    Attributes
    ----------
    objective : Objective
        With all that stands still.
    moving : tuple of dict
        Buffers at either end, by name, that move with θ.
    batch_statistics : str
        For the record.
    """

    objective: Objective
    a: Tensor
    b: Tensor
    batch_statistics: str
    moving: tuple[dict[str, Tensor], dict[str, Tensor]] = field(default_factory=lambda: ({}, {}))

    def at(self, of_a: float, of_b: float) -> tuple[Objective, Tensor]:
        """The objective with the buffers, and θ, where these are the shares of the ends; an end is to the last bit."""
        theta = _mixed(self.a, self.b, of_a, of_b)
        return self.holding(of_a, of_b, theta), theta

    def holding(self, of_a: float, of_b: float, theta: Tensor) -> Objective:
        """The objective with what belongs to a θ besides: buffers in these shares of the ends, statistics if they are
        recomputed."""
        objective = self.objective.with_constants(self.buffers(of_a, of_b))
        if self.batch_statistics == "recompute":
            objective = objective.with_constants(recomputed(objective, theta))
        return objective

    def buffers(self, of_a: float, of_b: float) -> dict[str, Tensor]:
        """The buffers that move, in these shares of the ends."""
        here, there = self.moving
        return {name: _mixed(here[name], there[name], of_a, of_b) for name in here}


def between(objective: Objective, given: Sequence[Vector | Objective], batch_statistics: str | None) -> Between:
    """Settle what is at the ends and what moves, or refuse with the reason; see :func:`interpolate`."""
    check_choice("batch_statistics", batch_statistics, (None, "interpolate", "recompute", "fixed"))
    a, b = _ends(objective, given)
    model = objective.parts().model
    normalises, has_buffers = bool(layers(model)), any(True for _ in model.buffers())
    gathers = normalises and objective.mode == "eval"
    by_itself = "train" if normalises else ""  # in training mode a layer takes its statistics from the data at hand
    if batch_statistics == "fixed":
        held = gathers or (has_buffers and not normalises)
        return Between(objective, a.theta, b.theta, "fixed" if held else by_itself)
    if a.constants is None or b.constants is None:
        _check_theta_is_all(objective, batch_statistics, gathers=gathers)
        return Between(objective, a.theta, b.theta, "recompute" if gathers else by_itself)
    moving = _moving(objective, a, b)
    if normalises and not (gathers and batch_statistics != "recompute"):
        moving -= gathered_by(model)
        statistics = "recompute" if gathers else by_itself
    else:
        statistics = "interpolate" if moving else "fixed" if gathers else ""
    at_a, at_b = ({name: constants[name] for name in moving} for constants in (a.constants, b.constants))
    return Between(objective.with_constants(a.constants), a.theta, b.theta, statistics, (at_a, at_b))


def _ends(objective: Objective, given: Sequence[Vector | Objective]) -> tuple[End, End]:
    if len(given) == 1 and isinstance(given[0], Objective):
        given = (objective, given[0])
    if len(given) != 2:
        raise UsageError(
            "a line has two ends: interpolate(objective_a, objective_b), or interpolate(objective, theta_a, theta_b) "
            "where θ is all that differs between them"
        )
    a, b = (end_of(objective, one) for one in given)
    models = {id(one.parts().model) for one in given if isinstance(one, Objective)}
    if all(isinstance(one, Objective) for one in given) and len(models) == 1 and torch.equal(a.theta, b.theta):
        raise UsageError(
            "both objectives are of the same model object, so both ends are where that model is now. Give each end "
            "a model of its own, such as copy.deepcopy(model)"
        )
    return a, b


def end_of(objective: Objective, given: Any) -> End:
    """What is known of a point of this objective: a vector (P,), an objective, a model, or a checkpoint.

    An objective must ask the same question. A vector that is θ of the objective to the last bit stands for its model.

    Raises
    ------
    UsageError
        If it asks another one, is of another model, or a vector has another shape than θ.
    """
    if isinstance(given, Objective):
        check_same_question(objective, given)
        return End(objective.point(given.theta), constants_of(given))
    read = end_as_given(objective, given)
    theta, own = objective.point(read.theta), constants_of(objective)
    if read.constants is None:
        return End(theta, own if torch.equal(theta, objective.theta) else None)
    # What is no part of a checkpoint, such as a buffer that is not saved, is as the architecture has it.
    known = {name: read.constants[name].to(held) if name in read.constants else held for name, held in own.items()}
    return End(theta, known)


def end_as_given(objective: Objective, given: Any, *, called: str = "a vector") -> End:
    """The same in its own dtype, on its own device, whatever it was trained on; ``called`` is its name in a message.

    Raises
    ------
    UsageError
        If it is none of these, or of another model.
    """
    if isinstance(given, Objective):
        return End(_fitting(objective, given.theta, called), constants_of(given))
    if isinstance(given, nn.Module):
        params, buffers = (
            {name: tensor.detach() for name, tensor in group}
            for group in (given.named_parameters(), given.named_buffers())
        )
        return _of_named(objective, params, buffers, called)
    if all(callable(getattr(given, name, None)) for name in ("params", "buffers")):  # a checkpoint
        return _of_named(objective, given.params(), given.buffers(), called)
    try:
        theta = torch.as_tensor(given).detach()
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(
            f"{called} is given by a {type(given).__name__}; it must be a vector (P,), an Objective, a model or a "
            "Checkpoint"
        ) from None
    return End(_fitting(objective, theta, called), None)


def _of_named(objective: Objective, params: Mapping[str, Tensor], buffers: Mapping[str, Tensor], called: str) -> End:
    layout = objective.layout
    for name, shape in zip(layout.names, layout.shapes, strict=True):
        if name not in params or params[name].shape != shape:
            seen = f"is of shape {tuple(params[name].shape)}" if name in params else "is missing"
            raise UsageError(f"{called} is of another model: its {name!r} {seen}, expected is {tuple(shape)}")
    inside = set(layout.names)
    frozen = {name: tensor for name, tensor in params.items() if name not in inside}
    return End(layout.flatten(params).clone(), {**buffers, **frozen})


def _fitting(objective: Objective, theta: Tensor, called: str) -> Tensor:
    if theta.shape != (objective.layout.size,):
        raise UsageError(f"{called} of shape {tuple(theta.shape)} does not fit: θ has shape ({objective.layout.size},)")
    return theta


def constants_of(objective: Objective) -> dict[str, Tensor]:
    """Frozen parameters and buffers of its model, by their names there."""
    parts = objective.parts()
    found = parts.constants
    names = [name for name, _ in (*parts.model.named_parameters(), *parts.model.named_buffers())]
    return {name: found[_MODEL + name] for name in names if _MODEL + name in found}


def check_same_question(objective: Objective, end: Objective) -> None:
    """Refuse an objective whose loss elsewhere is not a value of the same function: other parameters, data or loss."""
    if end is objective:
        return
    theirs, ours = (dict(zip(o.layout.names, o.layout.shapes, strict=True)) for o in (end, objective))
    if list(theirs.items()) != list(ours.items()):
        unlike = [name for name in (ours | theirs) if ours.get(name) != theirs.get(name)] or list(ours)
        raise UsageError(
            "the ends of a line must have the same parameters in θ, of the same shapes and in the same order; these "
            f"are not: {_listed(unlike)}"
        )
    rows = [o.parts().padding for o in (objective, end)]
    if apart := [name for name in rows[0] if name not in rows[1] or not same(rows[0][name], rows[1][name])]:
        raise UsageError(
            f"{apart[0]} is fixed, as in training, and differs between the two models, so that the loss at one end "
            "would not be that model's. Give both the same row"
        )
    facts = {"loss": "loss_name", "mode": "mode", "dtype": "dtype"}
    for what, name in facts.items():
        if getattr(end, name) != getattr(objective, name):
            raise UsageError(
                f"the objectives at both ends of a line must agree: their {what} is {getattr(objective, name)} and "
                f"{getattr(end, name)}"
            )
    of_loss = [{n: t for n, t in o.parts().constants.items() if not n.startswith(_MODEL)} for o in (objective, end)]
    if different := _different(*of_loss):
        raise UsageError(
            f"the objectives at both ends of a line must agree: their losses differ in {_listed(different)}"
        )
    if end.digest() != objective.digest():
        raise UsageError(
            "the objectives at both ends of a line must agree: they are on different data, or their losses have other "
            "settings"
        )


def _check_theta_is_all(objective: Objective, batch_statistics: str | None, *, gathers: bool) -> None:
    """Refuse an end of which θ alone is known, where the loss there depends on more."""
    moved = moved_by_training(objective)
    if not moved and (batch_statistics == "recompute" or not gathers):
        return
    ways = "pass the objectives of both models, interpolate(objective_a, objective_b)"
    if not moved:
        ways += ", or choose batch_statistics='recompute'"
    named = gathered_by(objective.parts().model) if gathers else moved
    examples = sorted(name for name in named if not name.endswith(STATISTICS[-1]))
    raise UsageError(
        "θ is not all that training moves in this model: it has running statistics or other buffers "
        f"({_listed(examples)}), and those that belong to the end of the line are not known from a vector, so the loss "
        f"there is not that of the model it comes from. To have both ends right, {ways}; batch_statistics='fixed' "
        "keeps those of the objective's model on the whole line"
    )


def _moving(objective: Objective, a: End, b: End) -> set[str]:
    """Names of the buffers that differ between the ends and can move; refuse where something differs that cannot."""
    assert a.constants is not None
    assert b.constants is not None
    buffers = set(dict(objective.parts().model.named_buffers()))
    counters = {name for name in gathered_by(objective.parts().model) if name.endswith(STATISTICS[-1])}
    if alone := sorted(a.constants.keys() ^ b.constants.keys()):
        raise UsageError(f"the models at the ends of a line must be built alike; only one has {_listed(alone)}")
    different = [name for name in _different(a.constants, b.constants) if name not in counters]
    stuck = [name for name in different if name not in buffers]
    if stuck:
        raise UsageError(
            f"parameters outside θ differ between the ends ({_listed(stuck)}): on a line of θ they would stay those of "
            "one end, and the other end would not be its model. Make them part of θ (params='*', "
            "requires_grad_(True)), or give them equal values; batch_statistics='fixed' keeps all but θ as the first "
            "objective has it"
        )
    shapes = [name for name in different if a.constants[name].shape != b.constants[name].shape]
    whole = [
        name for name in different if not (a.constants[name].is_floating_point() or a.constants[name].is_complex())
    ]
    if shapes or (whole and _matter(objective, a, b, whole)):
        raise UsageError(
            f"buffers that differ between the ends cannot move from one to the other ({_listed(shapes or whole)}): "
            f"{'their shapes differ' if shapes else 'they are whole numbers, and the loss depends on them'}. "
            "batch_statistics='fixed' keeps all but θ as the first objective has it"
        )
    return set(different) - set(whole)


def _matter(objective: Objective, a: End, b: End, names: list[str]) -> bool:
    """Whether the loss at either end changes where these constants are those of the other; it costs four losses."""
    for end, other in ((a, b), (b, a)):
        assert end.constants is not None
        assert other.constants is not None
        exchanged = end.constants | {name: other.constants[name] for name in names}
        own, others = (objective.with_constants(held).loss(end.theta) for held in (end.constants, exchanged))
        if not np.array_equal(own, others, equal_nan=True):
            return True
    return False


def _different(a: dict[str, Tensor], b: dict[str, Tensor]) -> list[str]:
    """Names whose tensors do not have the same bits, in order."""
    return [name for name in sorted(a | b) if name not in a or name not in b or not same(a[name], b[name])]


def _mixed(a: Tensor, b: Tensor, of_a: float, of_b: float) -> Tensor:
    if of_b == 0:
        return a
    # Shares of both, so that a line read from its other end is the same to the last bit.
    return b if of_a == 0 else of_a * a + of_b * b.to(a.device)


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
