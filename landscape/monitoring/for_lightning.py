"""A Lightning callback: a :class:`Monitor` and a :class:`CheckpointWriter` along ``trainer.fit``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from landscape.errors import UsageError
from landscape.monitoring.monitor import Monitor
from landscape.monitoring.writer import CheckpointWriter
from landscape.objective import Objective


class LightningMonitor:
    """Monitors a training of Lightning, on the first process of it.

    Parameters
    ----------
    objective : callable
        ``objective(module) -> Objective``, called when training starts and the module is where it trains.
    checkpoints : mapping, optional
        What :class:`CheckpointWriter` takes beside the model: ``dict(dir="runs/a", every=500)``; none without it.
    **options
        Those of :class:`Monitor`. Left out, ``log`` is every logger of the trainer.
    """

    def __new__(cls, *args: Any, **options: Any) -> LightningMonitor:
        """A callback of Lightning, which is loaded here and not before."""
        made: LightningMonitor = object.__new__(_as_callback(cls))
        return made

    def __init__(
        self, objective: Callable[[Any], Objective], *, checkpoints: Mapping[str, Any] | None = None, **options: Any
    ) -> None:
        self._objective, self._checkpoints, self._options = objective, checkpoints, options
        self._stack, self._seen = ExitStack(), 0
        self.monitor: Monitor | None = None
        self.writer: CheckpointWriter | None = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Make both."""
        if not trainer.is_global_zero:
            return
        optimizer, self._seen = trainer.optimizers[0], trainer.global_step
        options = {"optimizer": optimizer, "log": _to_loggers(trainer), **self._options}
        self.monitor = self._stack.enter_context(Monitor(self._objective(pl_module), **options))
        if self._checkpoints is not None:
            writer = CheckpointWriter(
                model=pl_module,
                optimizer=optimizer,
                step=self._seen,
                **self._checkpoints,
            )
            self.writer = self._stack.enter_context(writer)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """A step, where this batch was the last of one."""
        if self.monitor is None or trainer.global_step == self._seen:
            return
        self._seen = trainer.global_step
        self.monitor.step(self._seen)
        if self.writer is not None:
            self.writer.step(self._seen)

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Close both; Lightning calls this however the training ends."""
        self._stack.close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """As when it ends, but the error that ends it goes before one of saving."""
        self._stack.__exit__(type(exception), exception, exception.__traceback__)


def _as_callback(cls: Any) -> Any:
    try:
        from lightning.pytorch import Callback
    except ImportError:
        raise UsageError("LightningMonitor needs Lightning: pip install lightning") from None
    return type(cls.__name__, (cls, Callback), {})


def _to_loggers(trainer: Any) -> Callable[[dict[str, float]], None]:
    def log(numbers: dict[str, float]) -> None:
        for logger in trainer.loggers:
            logger.log_metrics({k: v for k, v in numbers.items() if k != "step"}, step=int(numbers["step"]))

    return log
