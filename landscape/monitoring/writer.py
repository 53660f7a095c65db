"""Checkpoints from somebody's own training loop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn

from landscape import distributed
from landscape.checkpoints import checkpoint_files, remove_temporaries, save_checkpoint
from landscape.checks import check_count, check_positive
from landscape.errors import UsageError, in_one_line
from landscape.monitoring.averages import averaged_model, evaluation_point
from landscape.monitoring.budget import Clock, Stopwatch
from landscape.monitoring.ring import Snapshot, State, make_ring
from landscape.monitoring.signals import DEFAULT, SignalWatch
from landscape.problems import Problem
from landscape.training.falling import LEAST_FALL, FallingLoss
from landscape.training.run import sole_training

Metrics = Mapping[str, Any] | Callable[[], Mapping[str, Any]]


class CheckpointWriter:
    """Saves checkpoints of a training while it runs; a context manager around its loop.

    ``step()`` is called after each step of the optimizer. It saves every so many steps, where the loss has fallen far,
    and after a signal; at the end, however it comes, the last state is saved, and the last steps before it. Files are
    those of :func:`landscape.save_checkpoint`, whole or not there. Training is not changed by it, to the last bit.

    Parameters
    ----------
    dir : path
        The run's folder; it has no later checkpoints, and no other process writes there.
    model : nn.Module
    every : int, optional
        Save each step whose number is a multiple of it.
    last : int
        Of so many steps before the end a checkpoint is saved. Copies of the states of these (parameters, buffers, those
        of the optimizer) are held in memory meanwhile; where ``total`` is said, only those last steps are saved, at
        once.
    total : int, optional
        Steps after which training ends, as far as it is known.
    losses : float, optional
        A factor such as 1.25: also whenever the loss given to ``step`` has fallen by it, on average over
        ``loss_window`` steps.
    loss_window : int
    signals : iterable of int
        Signals that ask for a checkpoint; SIGUSR1 where there is one. Who listened to them before still hears them.
    optimizer, scheduler, problem, config : optional
        As :func:`landscape.save_checkpoint` takes them. A schedule-free optimizer is saved at its evaluation point.
    ema : nn.Module, optional
        An average of the weights, such as ``torch.optim.swa_utils.AveragedModel``: it is saved as what it evaluates as,
        as a run of its own.
    ema_dir : path, optional
        Its folder; left out, ``dir`` with ``-ema`` behind it.
    step : int
        Steps made before.

    Attributes
    ----------
    files : list of Path
        Written so far, without those of the average.
    share : float
        Of the training time so far, what saving has taken.
    signal : int or None
        The last that came.

    Raises
    ------
    UsageError
        For arguments outside their ranges, or where the folder holds later checkpoints.
    CheckpointError
        When entered, if another process writes there; at a step, if the disk is full.

    Warns
    -----
    RuntimeWarning
        Where an optimizer stands in its training mode and cannot be put into its evaluation mode; where signals cannot
        be heard; where a last state cannot be saved while an error ends the loop.
    """

    def __init__(
        self,
        dir: str | Path,
        model: nn.Module,
        *,
        every: int | None = None,
        last: int = 0,
        total: int | None = None,
        losses: float | None = None,
        loss_window: int = 16,
        signals: Iterable[int] = DEFAULT,
        optimizer: Any = None,
        scheduler: Any = None,
        problem: Problem | str | None = None,
        config: Mapping[str, Any] | None = None,
        ema: Any = None,
        ema_dir: str | Path | None = None,
        step: int = 0,
        clock: Clock = time.perf_counter,
    ) -> None:
        if distributed.is_in_shards(distributed.unwrapped(model)):
            raise UsageError(
                "the parameters are in shards, which all ranks gather together, and a CheckpointWriter writes by "
                "itself. Call landscape.save_checkpoint(dir, model, step=…, optimizer=…) on all of them"
            )
        self.dir = Path(dir)
        self._every = None if every is None else check_count("every", every)
        self._total = None if total is None else check_count("total", total)
        last = check_count("last", last, least=0)
        self._step = check_count("step", step, least=0)
        self._falling = _falling(losses, check_count("loss_window", loss_window))
        self._state = State(model, None if ema is None else averaged_model(ema), optimizer, scheduler)
        self._ema_dir = Path(ema_dir) if ema_dir is not None else self.dir.with_name(f"{self.dir.name}-ema")
        self._problem, self._config = problem, dict(config or {})
        self._last, self._ring = last, make_ring(last)
        self._signals = SignalWatch(signals)
        self._noted: dict[str, dict[int, float]] = {"loss": {}, "gradient_norm": {}}
        self._watched = False
        self._saved_at, self._metrics = -1, dict[str, Any]()
        self._start = self._history_from = self._step
        self._watch = Stopwatch(clock)
        self._stack: ExitStack | None = None
        self.files: list[Path] = []

    @property
    def share(self) -> float:
        """Time spent here ÷ training time so far."""
        return self._watch.share

    @property
    def signal(self) -> int | None:
        """The last signal that came."""
        return self._signals.received

    def __enter__(self) -> CheckpointWriter:
        for folder in (self.dir,) if self._state.average is None else (self.dir, self._ema_dir):
            found = checkpoint_files(folder)
            if found and max(found) > self._step:
                raise UsageError(
                    f"{folder} already holds a run of {len(found)} checkpoints up to step {max(found)}: pass "
                    f"step={max(found)} to go on from it, or choose another folder"
                )
        with ExitStack() as stack:
            stack.enter_context(sole_training(self.dir))
            remove_temporaries(self.dir)
            self._signals.begin()
            stack.callback(self._signals.end)
            self._stack = stack.pop_all()
        self._watch.start()
        return self

    def step(
        self,
        step: int | None = None,
        *,
        loss: float | None = None,
        gradient_norm: float | None = None,
        metrics: Metrics | None = None,
    ) -> Path | None:
        """To be called after each step of the optimizer.

        Parameters
        ----------
        step : int, optional
            Steps made so far; left out, they are counted.
        loss : float, optional
            The loss of the step's batch: for ``losses=``, and for the history of the run.
        gradient_norm : float, optional
            Of that batch's gradient, for the history of the run.
        metrics : mapping, or callable that gives one, optional
            As :func:`landscape.save_checkpoint` takes them; a callable is called only where a checkpoint is saved.

        Returns
        -------
        Path or None
            The file, where one was written.
        """
        self._check_entered()
        with self._watch.inside(after_a_step=True):
            self._step = self._step + 1 if step is None else check_count("step", step, least=0)
            if loss is not None:
                self._note_loss(float(loss))
            if gradient_norm is not None:
                self._noted["gradient_norm"][self._step] = float(gradient_norm)
            asked = self._signals.take()
            if asked or self._is_due():
                return self._save(metrics)
            if self._last > 1 and self._total is None:  # the last of all is there when it has ended
                self._ring.append(self._state.snapshot(self._step, {}))
            return None

    def save(self, *, metrics: Metrics | None = None) -> Path:
        """Save now, such as before the first step."""
        self._check_entered()
        with self._watch.inside(after_a_step=False):
            return self._save(metrics)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stack is not None
        stack, self._stack = self._stack, None
        with stack, self._watch.inside(after_a_step=False):
            try:
                self._finish()
            except Exception as failed:
                if error is None:
                    raise
                # What ended the loop is what its owner must see.
                warnings.warn(f"the last state was not saved: {in_one_line(failed)}", RuntimeWarning, stacklevel=2)

    # --- saving ---------------------------------------------------------------------------------------------------

    def _is_due(self) -> bool:
        """Every so many steps, the last ones where their number is known, and where the loss has fallen."""
        regular = self._every is not None and self._step % self._every == 0
        at_the_end = self._total is not None and self._total - self._step < self._last
        return regular or at_the_end or self._falling.has_fallen

    def _note_loss(self, loss: float) -> None:
        if not self._watched:
            self._falling.begin(loss)
            self._watched = True
        self._noted["loss"][self._step] = loss
        self._falling.add(loss)

    def _save(self, metrics: Metrics | None) -> Path:
        said = metrics() if callable(metrics) else metrics
        self._falling.saved()
        path = self._write(self._state, self._step, dict(said or {}))
        self._saved_at = self._step
        self.files.append(path)
        return path

    def _finish(self) -> None:
        """The last state, and those of the last steps that are not saved yet."""
        if self._saved_at != self._step and self._step > self._start:
            self._save(None)
        there = checkpoint_files(self.dir)
        waiting = [s for s in self._ring if self._step - s.step < self._last and s.step not in there]
        if waiting:
            twin = self._state.twin()
            for snapshot in waiting:
                self._write_snapshot(twin, snapshot)
        self._ring.clear()

    def _write_snapshot(self, twin: State, snapshot: Snapshot) -> None:
        twin.put(snapshot)
        self.files.append(self._write(twin, snapshot.step, snapshot.metrics, with_history=False))

    def _write(self, state: State, step: int, metrics: dict[str, Any], *, with_history: bool = True) -> Path:
        history = self._history(step) if with_history else None
        with torch.no_grad(), evaluation_point(state.optimizer):
            path = save_checkpoint(
                self.dir,
                state.model,
                step=step,
                problem=self._problem,
                optimizer=state.optimizer,
                scheduler=state.scheduler,
                metrics=metrics,
                config=self._config,
                history=history,
            )
        if state.average is not None:
            self._write_average(state, step)
        return path

    def _write_average(self, state: State, step: int) -> None:
        """A run of its own, in a group of its own."""
        assert state.average is not None
        optimizer = type(state.optimizer).__name__.lower() if state.optimizer is not None else "model"
        label = self._config.get("label", self._config.get("optimizer", optimizer))
        config = {**self._config, "label": f"{label}-ema", "average_of": self.dir.name}
        save_checkpoint(self._ema_dir, state.average, step=step, problem=self._problem, config=config)

    def _history(self, step: int) -> dict[str, list[float]] | None:
        """What was given of the steps since the last checkpoint, where it was of all of them."""
        steps = range(self._history_from + 1, step + 1)
        self._history_from = step
        found = {}
        for name, noted in self._noted.items():
            given = [noted.get(s) for s in steps]
            self._noted[name] = {s: value for s, value in noted.items() if s >= step}
            if given and None not in given:
                found[name] = [value for value in given if value is not None]
        return found or None

    def _check_entered(self) -> None:
        if self._stack is None:
            raise UsageError("not entered: write `with CheckpointWriter(...) as writer:` around the loop")


def _falling(factor: float | None, window: int) -> FallingLoss:
    if factor is None:
        return FallingLoss(0, batch_size=1, num_examples=1)
    factor = check_positive("losses", factor)
    if factor < LEAST_FALL:
        raise UsageError(
            f"losses={factor:g} must be a factor of at least {LEAST_FALL:g} by which the loss falls from one "
            "checkpoint to the next, such as 1.25"
        )
    return FallingLoss(factor, batch_size=1, num_examples=window)
