"""A callback for the Hugging Face Trainer: :class:`Monitor` and :class:`CheckpointWriter` along ``trainer.train``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from landscape.errors import UsageError
from landscape.monitoring.monitor import Monitor
from landscape.monitoring.subset import few_examples
from landscape.monitoring.writer import CheckpointWriter
from landscape.objective import Objective


class HuggingFaceMonitor:
    """Monitors a training of the Trainer, on the first process of it.

    Parameters
    ----------
    objective : callable, optional
        ``objective(model) -> Objective``, called when training starts. Left out: the loss that the model itself gives,
        on examples of the trainer's own data, collated as one batch.
    checkpoints : mapping, optional
        What :class:`CheckpointWriter` takes beside the model: ``dict(dir="runs/a", every=500)``; none without it.
    **options
        Those of :class:`Monitor`.
    """

    def __new__(cls, *args: Any, **options: Any) -> HuggingFaceMonitor:
        """A callback of the Trainer, whose library is loaded here and not before."""
        made: HuggingFaceMonitor = object.__new__(_as_callback(cls))
        return made

    def __init__(
        self,
        objective: Callable[[Any], Objective] | None = None,
        *,
        checkpoints: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._objective, self._checkpoints, self._options = objective, checkpoints, options
        self._stack = ExitStack()
        self.monitor: Monitor | None = None
        self.writer: CheckpointWriter | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Make both."""
        if not state.is_world_process_zero:
            return
        model, optimizer = kwargs["model"], kwargs.get("optimizer")
        if self._objective is not None:
            objective = self._objective(model)
        else:
            objective = _own_loss(model, kwargs["train_dataloader"], self._options)
        options = {"optimizer": optimizer, **self._options}
        self.monitor = self._stack.enter_context(Monitor(objective, **options))
        if self._checkpoints is not None:
            writer = CheckpointWriter(
                model=model,
                optimizer=optimizer,
                step=state.global_step,
                **self._checkpoints,
            )
            self.writer = self._stack.enter_context(writer)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """A step of the optimizer."""
        if self.monitor is not None:
            self.monitor.step(state.global_step)
        if self.writer is not None:
            self.writer.step(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Close both. Where an error ends the training nothing calls this: what was written until then stands."""
        self._stack.close()


def _as_callback(cls: Any) -> Any:
    try:
        from transformers import TrainerCallback
    except ImportError:
        raise UsageError("HuggingFaceMonitor needs transformers: pip install transformers") from None
    return type(cls.__name__, (cls, TrainerCallback), {})


def _own_loss(model: Any, loader: Any, options: Mapping[str, Any]) -> Objective:
    """The model's own loss on one batch: a mean over what it takes it over, such as the tokens that count."""
    batches, whole = few_examples(loader, options.get("subset", 32), options.get("seed", 0))
    batches = [dict(batch) for batch in batches[:1]]
    objective = Objective.from_loss(
        model, lambda model, batch: model(**batch).loss, batches, interacting=True, check=False
    )
    objective.drawn_from = objective.num_examples if whole is None else whole
    return objective
