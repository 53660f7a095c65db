"""PyTorch Lightning, in either of its namespaces: the loss that a module's own step returns, without a Trainer."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from landscape.checks import check_choice
from landscape.errors import ObjectiveError, UsageError
from landscape.objective.adapters.attributes import attributes_kept
from landscape.objective.losses import settings_of

#: Of a trainer: where numbers go to be looked at. Whatever is done with them does nothing.
_LOOKED_AT = frozenset(
    {"logger", "loggers", "callback_metrics", "logged_metrics", "progress_bar_metrics", "progress_bar_callback"}
    | {"profiler", "callbacks", "checkpoint_callback", "checkpoint_callbacks", "early_stopping_callback"}
)
#: Of one that is not there, as Lightning's own modules take it.
_WITHOUT = {
    "current_epoch": 0, "global_step": 0, "global_rank": 0, "local_rank": 0, "node_rank": 0, "world_size": 1,
    "num_devices": 1, "num_nodes": 1, "is_global_zero": True, "fast_dev_run": False, "barebones": False,
}  # fmt: skip


class StepLoss:
    """``loss(module, batch)``: what ``training_step`` or ``validation_step`` of a LightningModule returns.

    Logging and printing are silent. ``self.trainer`` is the one that is attached, to read from; where there is none,
    epoch and step are 0, and a step that needs to know more is refused, since its loss may depend on it. Batches pass
    ``on_before_batch_transfer`` and ``on_after_batch_transfer`` of the module as in training.

    Raises
    ------
    ObjectiveError
        If the module optimizes by itself, or the step returns no loss.
    UsageError
        If the module is no LightningModule, or ``step`` is unknown.
    """

    def __init__(self, module: nn.Module, step: str) -> None:
        check_choice("step", step, ("training", "validation"))
        if not _is_lightning(module):
            raise UsageError(
                f"module must be a LightningModule, not a {type(module).__name__}; for any other use "
                "Objective(model, loss_fn, data) or Objective.from_loss(model, loss, data)"
            )
        if not module.automatic_optimization:
            raise ObjectiveError(
                f"{type(module).__name__} optimizes by itself (automatic_optimization=False), so that no one loss is "
                "what its training goes down. Say which loss is meant: Objective.from_loss(module, loss(module, batch),"
                " loader)"
            )
        self.step = step
        self.__qualname__ = f"{type(module).__qualname__}.{step}_step"
        for path, part in module.named_modules():
            if isinstance(part, nn.modules.loss._Loss):  # label_smoothing and the like tell two questions apart
                vars(self).update({f"{path}.{name}": text for name, text in settings_of(part)})

    def __call__(self, module: Any, batch: Any) -> Tensor:
        with attributes_kept(module):
            for part in module.modules():
                if _is_lightning(part):
                    stand_in = _Trainer(vars(part).get("_trainer"), self.__qualname__, self.step)
                    vars(part).update(log=_nothing, log_dict=_nothing, print=_nothing, _trainer=stand_in, _fabric=None)
            batch = module.on_after_batch_transfer(module.on_before_batch_transfer(batch, 0), 0)
            function = getattr(module, f"{self.step}_step")
            returned = function(*(batch, 0, 0)[: _arguments(function)])
        loss = returned.get("loss") if isinstance(returned, Mapping) else returned
        if loss is None:
            seen = f"a dict of {', '.join(map(str, returned))}" if isinstance(returned, Mapping) else "None"
            other = "" if self.step == "training" else "step='training' on the same data, or "
            raise ObjectiveError(
                f"{self.__qualname__} must return the loss, or a dict with 'loss'; it returned {seen}. Return it, or "
                f"use {other}Objective.from_loss(module, loss(module, batch), loader)"
            )
        return loss  # type: ignore[no-any-return]


class _Nothing:
    """Takes whatever is done to it, and gives itself; no number can be had from it."""

    def __getattr__(self, name: str) -> _Nothing:
        return self

    def __setattr__(self, name: str, value: Any) -> None: ...

    def __call__(self, *args: Any, **kwargs: Any) -> _Nothing:
        return self

    def __getitem__(self, key: Any) -> _Nothing:
        return self

    def __setitem__(self, key: Any, value: Any) -> None: ...

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __enter__(self) -> _Nothing:
        return self

    def __exit__(self, *args: Any) -> None: ...

    def __bool__(self) -> bool:
        return False


class _Trainer:
    """Stands in for a trainer: what it knows can be read, and nothing be done to it."""

    def __init__(self, trainer: Any, step_name: str, step: str) -> None:
        now = {"training": step == "training", "validating": step == "validation", "sanity_checking": False}
        vars(self).update(now, testing=False, predicting=False, _attached=trainer, _step_name=step_name)

    def __getattr__(self, name: str) -> Any:
        if name in _LOOKED_AT:
            return _Nothing()
        if self._attached is None:
            if name in _WITHOUT:
                return _WITHOUT[name]
            raise ObjectiveError(
                f"{self._step_name} reads trainer.{name}, and the module has no trainer, so its loss may not be the "
                "one of its training. Attach one, module.trainer = Trainer(...), or use Objective.from_loss(module, "
                "loss(module, batch), loader)"
            )
        found = getattr(self._attached, name)
        return _nothing if callable(found) else found

    def __setattr__(self, name: str, value: Any) -> None: ...


def _nothing(*args: Any, **kwargs: Any) -> None: ...


def _is_lightning(module: Any) -> bool:
    return any(kind.__name__ == "LightningModule" for kind in type(module).__mro__)


def _arguments(function: Callable[..., Any]) -> int:
    """How many of batch, its number and that of the loader a step takes by position."""
    kinds = [parameter.kind for parameter in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return 2
    return kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD) + kinds.count(inspect.Parameter.POSITIONAL_ONLY)
