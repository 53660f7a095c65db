"""The state of an optimizer by the names of its parameters, where a file has it by their numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from landscape.checkpoints.importers.foreign import Foreign, numbers
from landscape.checkpoints.importers.parameter_orders import CONVENTIONS, Groups, Shape, in_order
from landscape.checkpoints.writer import named_tensors
from landscape.errors import UsageError

#: Class → what its state holds for each parameter, and what its groups have. The first that agrees is it.
_SIGNS: tuple[tuple[str, set[str], set[str]], ...] = (
    ("LBFGS", set(), {"history_size", "tolerance_grad"}),
    ("NAdam", {"exp_avg", "exp_avg_sq", "mu_product"}, {"momentum_decay"}),
    ("Adamax", {"exp_avg", "exp_inf"}, set()),
    ("Adam", {"exp_avg", "exp_avg_sq"}, {"betas", "eps", "amsgrad"}),
    ("RAdam", {"exp_avg", "exp_avg_sq"}, {"betas", "eps", "capturable", "foreach", "decoupled_weight_decay"}),
    ("Adadelta", {"square_avg", "acc_delta"}, set()),
    ("RMSprop", {"square_avg"}, {"alpha", "centered"}),
    ("Adagrad", {"sum"}, {"lr_decay"}),
    ("Rprop", {"prev", "step_size"}, set()),
    ("ASGD", {"ax", "eta"}, set()),
    ("Muon", {"momentum_buffer"}, {"ns_steps"}),
    ("SGD", set(), {"dampening", "nesterov", "momentum"}),
)


@dataclass(frozen=True)
class NamedState:
    """What is known of an optimizer.

    Attributes
    ----------
    name : str or None
        Its class, as far as can be told.
    lr : float or None
    state : dict or None
        ``{"class", "param_groups", "state"}`` with parameters by name, as a checkpoint of ours gives it; None where it
        cannot be told which state is whose.
    said : tuple of str
    """

    name: str | None = None
    lr: float | None = None
    state: dict[str, Any] | None = None
    said: tuple[str, ...] = ()


def by_name(
    foreign: Foreign, model: nn.Module, order: Sequence[str], *, asked: str | None = None, convention: str | None = None
) -> NamedState:
    """Name class and parameters of an optimizer.

    Parameters
    ----------
    order : sequence of str
        The model's parameters in the order of the model that was trained.
    asked : str, optional
        The class, as a person says.
    convention : str, optional
        One of ``CONVENTIONS``, as a person says.
    """
    saved = foreign.optimizer
    if saved is None:
        return NamedState(_proper(asked))
    groups, state = saved.get("param_groups"), saved.get("state")
    if (
        not isinstance(groups, list)
        or not isinstance(state, Mapping)
        or not all(map(_is_part, state.values()))
        or not all(map(_is_group, groups))
    ):
        return NamedState(_proper(asked), said=("its optimizer's state is not by parameter, and is left out",))
    known = foreign.optimizer_class if asked is None else None
    name, said = (_proper(asked or known), []) if asked or known else _class_of(groups, state)
    # A schedule keeps the rate with which it began; without one, that of the moment is all there is.
    rate = groups[0].get("initial_lr", groups[0].get("lr")) if groups else None
    lr = numbers({"lr": rate}, besides=()).get("lr")
    if name is None:
        return NamedState(None, lr, None, (*said, "its optimizer cannot be told; name it with --optimizer"))
    found, how = _names(foreign, model, order, groups, state, convention, flat=name == "LBFGS")
    if found is None:
        return NamedState(name, lr, None, (*said, how))
    title = {
        number: n for g, names in zip(groups, found, strict=True) for number, n in zip(g["params"], names, strict=True)
    }
    named_groups = [
        {k: _plain(v) for k, v in group.items() if k not in ("params", "param_names") and _is_plain(v)}
        | {"params": names}
        for group, names in zip(groups, found, strict=True)
    ]
    whole = {title[number]: dict(part) for number, part in state.items() if number in title}
    return NamedState(
        name, lr, {"class": name, "param_groups": named_groups, "state": whole}, tuple(filter(None, (*said, how)))
    )


def _class_of(groups: Sequence[Mapping[str, Any]], state: Mapping[Any, Any]) -> tuple[str | None, list[str]]:
    """The class by what state and groups have in them, and what is only inferred."""
    keys = {key for part in state.values() if isinstance(part, Mapping) for key in part}
    settings = set(groups[0]) if groups else set()
    # Before the first step there is no state, and the groups alone must tell.
    agree = (
        name
        for name, in_state, in_groups in _SIGNS
        if in_groups <= settings and (in_state <= keys or (not keys and in_groups))
    )
    name = next(agree, None)
    if name is None:
        return None, []
    if name != "Adam":
        return name, [f"its optimizer is taken for {name}, by what its state holds"]
    decoupled = groups[0].get("decoupled_weight_decay")
    if decoupled is not None:
        name = "AdamW" if decoupled else "Adam"
        return name, [f"its optimizer is taken for {name}, by what its state holds"]
    if not any(group.get("weight_decay") for group in groups):
        return name, ["its optimizer is taken for Adam; without weight decay AdamW is the same"]
    return name, ["its optimizer is Adam or AdamW, which the file does not tell: taken for Adam (--optimizer AdamW)"]


def _names(
    foreign: Foreign,
    model: nn.Module,
    order: Sequence[str],
    groups: Sequence[Mapping[str, Any]],
    state: Mapping[Any, Any],
    convention: str | None,
    *,
    flat: bool,
) -> tuple[Groups | None, str]:
    """The parameters of each group by name, or why they cannot be told."""
    parameters = named_tensors(model)
    shapes = {name: tuple(parameter.shape) for name, parameter in parameters.items()}
    wanted = [[None if flat else _shape_of(state.get(number)) for number in group["params"]] for group in groups]
    sizes = [len(group) for group in wanted]
    if (found := _own_names(groups, order)) is not None:
        return (found, "") if _agree(found, wanted, shapes) else (None, _OTHER)
    chosen = convention or foreign.order
    trainable = [name for name in order if parameters[name].requires_grad]
    ways: dict[str, Groups] = {}
    for title in [chosen] if convention else [chosen, *CONVENTIONS] if chosen else [*CONVENTIONS]:
        for names in (trainable, order):
            way = CONVENTIONS[title](names, sizes, model) if title and title not in ways else None
            if title and way is not None and _agree(way, wanted, shapes):
                ways[title] = way
    if chosen in ways:
        return ways[chosen], ""
    if convention:
        return None, f"its optimizer's parameters do not stand in the order {convention!r}; their state is left out"
    if len(sizes) == 1 and "model" in ways:
        return ways["model"], ""
    count, only = in_order(order, shapes, wanted)
    if count == 1 and only is not None and only not in ways.values():
        ways["shapes"] = only
    different = [title for i, title in enumerate(ways) if ways[title] not in [*ways.values()][:i]]
    if len(different) == 1 and count < 2:
        if different[0] not in ("shapes", "model"):
            return ways[different[0]], f"its optimizer's parameters stand in the order {different[0]!r}, as shapes show"
        skipped = len(order) - sum(sizes)
        return ways[different[0]], f"its optimizer skips {skipped} parameters, as shapes show" if skipped else ""
    if different or count:
        choices = f"--order {' or '.join(title for title in different if title != 'shapes') or 'model'}"
        return None, (
            "its optimizer's parameters can be named in several ways that fit by shape: their state is left out; say "
            f"in which order they were given, if you know: {choices}"
        )
    return None, _OTHER


_OTHER = "its optimizer's state is of other parameters than the model has, and is left out"


def _own_names(groups: Sequence[Mapping[str, Any]], order: Sequence[str]) -> Groups | None:
    """The names that an optimizer of named parameters keeps (``param_names``), as the model has them."""
    if not all(isinstance(group.get("param_names"), list) for group in groups):
        return None
    known = set(order)
    found: Groups = []
    for group in groups:
        names = [_known_as(str(name), known) for name in group["param_names"]]
        if len(names) != len(group["params"]) or any(name is None for name in names):
            return None
        found.append([name for name in names if name is not None])
    return found


def _known_as(name: str, known: set[str]) -> str | None:
    """A name with as many of its first parts taken off as it takes."""
    parts = [part for part in name.split(".") if part != "_orig_mod"]
    return next((rest for i in range(len(parts)) if (rest := ".".join(parts[i:])) in known), None)


def _agree(found: Groups, wanted: Sequence[Sequence[Shape | None]], shapes: Mapping[str, Shape]) -> bool:
    return all(
        shape in (None, shapes[name])
        for names, group in zip(found, wanted, strict=True)
        for name, shape in zip(names, group, strict=True)
    )


def _shape_of(own: Any) -> Shape | None:
    """The shape of a parameter as its state shows it, where all in it agree."""
    tensors = [part for key, part in own.items() if isinstance(part, Tensor) and key != "step"] if own else []
    large = {tuple(tensor.shape) for tensor in tensors if tensor.dim()} or {() for _ in tensors}
    return large.pop() if len(large) == 1 else None


def _proper(name: str | None) -> str | None:
    """As torch writes the class, where it has it."""
    return next((own for own in dir(torch.optim) if name and own.lower() == name.lower()), name)


def check_convention(convention: str | None) -> None:
    """Refuse an order that is none of ours."""
    if convention is not None and convention not in CONVENTIONS:
        raise UsageError(f"order={convention!r} is not one of {', '.join(map(repr, CONVENTIONS))}")


def _is_group(value: Any) -> bool:
    numbers_ = value.get("params") if isinstance(value, Mapping) else None
    return isinstance(numbers_, list) and all(isinstance(number, (int, str)) for number in numbers_)


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, Tensor) else value


def _is_plain(value: Any) -> bool:
    try:
        json.dumps(_plain(value))
    except (TypeError, ValueError):
        return False
    return True
