"""A copy of an optimizer that steps on parameters of its own, so that a step can be looked at and not be made."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.errors import UsageError, in_one_line

#: What a copy does not take over: schedules put a step of the original there, and hooks may do anything.
_STEP, _HOOKS = "step", "_hooks"


class OptimizerCopy:
    """An optimizer with its state and settings, over copies of its parameters.

    Parameters
    ----------
    original : Optimizer
        Left as it is.
    dtype : torch.dtype, optional
        Of the copied parameters and of the tensors in the state; left out, those that they have.

    Attributes
    ----------
    optimizer : Optimizer
        Without the hooks of the original.
    parameters : dict
        id of an original parameter → its copy.
    """

    def __init__(self, original: Optimizer, dtype: torch.dtype | None = None) -> None:
        originals = [p for group in original.param_groups for p in group["params"]]
        self.parameters = {id(p): _own(p, dtype) for p in originals}
        memo: dict[int, Any] = dict(self.parameters)
        twin: Optimizer = object.__new__(type(original))
        memo[id(original)] = twin
        for name, value in vars(original).items():
            if name == _STEP:
                continue
            try:
                twin.__dict__[name] = OrderedDict() if name.endswith(_HOOKS) else copy.deepcopy(value, memo)
            except Exception as error:  # whatever an optimizer of the caller's holds
                raise UsageError(
                    f"{type(original).__name__}.{name} cannot be copied ({in_one_line(error)}), so its next step "
                    "cannot be looked at without making it"
                ) from error
        if dtype is not None:
            for key, state in list(twin.state.items()):
                twin.state[key] = _cast(state, dtype)
        self.optimizer = twin

    def set_rates(self, rates: list[dict[str, float]]) -> None:
        """Other learning rates, by group and name."""
        for group, own in zip(self.optimizer.param_groups, rates, strict=True):
            for name, rate in own.items():
                group[name] = torch.full_like(group[name], rate) if isinstance(group[name], Tensor) else rate

    def without_decay(self) -> None:
        """No weight decay from now on."""
        for group in self.optimizer.param_groups:
            if "weight_decay" in group:
                group["weight_decay"] = 0.0


def rates_of(optimizer: Optimizer) -> list[dict[str, float]]:
    """The learning rates of each group by name: ``lr``, and others that end so, as Muon's for what is no matrix."""
    found = [
        {str(k): float(v) for k, v in group.items() if (str(k) == "lr" or str(k).endswith("_lr")) and _is_number(v)}
        for group in optimizer.param_groups
    ]
    if any("lr" not in rates for rates in found):
        raise UsageError(f"{type(optimizer).__name__} has a group without a learning rate 'lr', the unit of its update")
    return found


def _is_number(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.numel() == 1
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _own(parameter: Tensor, dtype: torch.dtype | None) -> nn.Parameter:
    values = parameter.detach()
    if dtype is not None and values.is_floating_point():
        values = values.to(dtype)
    return nn.Parameter(values.clone(), requires_grad=parameter.requires_grad)


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Tensors of a state in another type; single numbers, such as counts of steps, as they are."""
    if isinstance(value, Tensor):
        return value.to(dtype) if value.is_floating_point() and value.ndim > 0 else value
    if isinstance(value, Mapping):
        return type(value)({key: _cast(part, dtype) for key, part in value.items()})  # type: ignore[call-arg]
    if type(value) in (list, tuple):
        return type(value)(_cast(part, dtype) for part in value)
    return value
