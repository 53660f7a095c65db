"""One training run: from a problem and settings to a folder of checkpoints, resumed bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

import torch

from landscape.checkpoints import Checkpoint, CheckpointDir, checkpoint_files, remove_temporaries, save_checkpoint
from landscape.errors import CheckpointError, LandscapeError, UsageError
from landscape.files import Held, WriterLock, reason
from landscape.optimizers import BY_CLIENTS, make_optimizer, make_schedule
from landscape.problems import Problem
from landscape.problems.metrics import evaluate
from landscape.progress import Progress
from landscape.training.batch_loss import BatchLoss
from landscape.training.falling import FallingLoss
from landscape.training.order import BatchOrder, ClientOrder, Order, ranks
from landscape.training.settings import resumed_settings, training_settings

LOCK = ".training.lock"


class Diverged(LandscapeError):
    """The loss is no longer a finite number."""


class Training:
    """Model, optimizer, schedule and the order of the examples, ``step`` steps along."""

    def __init__(self, problem: Problem, settings: dict[str, Any], out: Path) -> None:
        self.problem, self.settings, self.out, self.step = problem, settings, out, 0
        self.model = problem.make_model(part_seed(settings, "init_seed"))
        self.start = [p.detach().clone() for p in self.model.parameters()]
        self.order = make_order(problem, settings)
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(settings["optimizer"], trainable, lr=settings["lr"], **settings["options"])
        self.scheduler = make_schedule(
            settings["schedule"], self.optimizer, total_steps=self.total_steps, **settings["schedule_options"]
        )
        self.falling = FallingLoss(
            settings["save_losses"], batch_size=settings["batch_size"], num_examples=problem.num_examples
        )
        #: Of each step since the last checkpoint.
        self.history: dict[str, list[float]] = {
            name: [] for name in ("loss", "step_size", "gradient_norm", "losses", "gradients", *self._noted())
        }

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.order.total_steps

    @contextmanager
    def seeded(self) -> Iterator[None]:
        """The global random state, from which dropout draws, seeded for this run, and put back afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.settings["seed"])
            yield

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint was saved, to the last bit."""
        checkpoint.load_into(self.model, optimizer=self.optimizer, scheduler=self.scheduler)
        state = checkpoint.resume_state()
        if state is None:
            raise UsageError(f"{checkpoint.path} holds no data order or random state; it was not saved by a training")
        try:
            self.order.restore(state["order"])
            torch.set_rng_state(state["rng"])
            self.falling.restore(state.get("falling") or {})
            if "falling" not in state:  # saved by a run that did not watch it
                self.falling.begin(float(checkpoint.metrics["train_loss"]))
        except (LookupError, TypeError, ValueError, RuntimeError) as error:
            raise UsageError(
                f"{checkpoint.path} holds no data order or random state that can be used ({error})"
            ) from error
        self.step = checkpoint.step

    def advance(self) -> None:
        """One step of the optimizer on the next batch."""
        self.model.train()
        rate = self.scheduler.get_last_lr()[0]
        closure = BatchLoss(self.problem, self.model, self.order.next(), adversary=adversary_of(self.settings))
        loss = float(self.optimizer.step(cast("Any", closure)))
        self._check_finite(loss)
        taken: Any = getattr(self.optimizer, "step_size", None)
        self.history["loss"].append(loss)
        self.falling.add(loss)
        self.history["step_size"].append(float(rate if taken is None else taken))
        self.history["gradient_norm"].append(closure.gradient_norm)
        self.history["losses"].append(closure.counted.losses)
        self.history["gradients"].append(closure.counted.gradients)
        for name, value in self._noted().items():
            self.history[name].append(value)
        self.scheduler.step()
        self.step += 1

    def _noted(self) -> dict[str, float]:
        found: dict[str, float] = getattr(self.optimizer, "noted", {})
        return found

    def save(self) -> None:
        """Measure and write a checkpoint."""
        metrics = evaluate(self.problem, self.model, start=self.start)
        self._check_finite(metrics["train_loss"])
        metrics |= {"epoch": self.order.epochs_after(self.step), "lr": self.scheduler.get_last_lr()[0]}
        if self.step == 0:
            self.falling.begin(metrics["train_loss"])
        self.falling.saved()
        falling = {"falling": state} if (state := self.falling.state()) else {}
        save_checkpoint(
            self.out,
            self.model,
            step=self.step,
            problem=self.problem,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            metrics=metrics,
            config=self.settings,
            resume={"order": self.order.state(), "rng": torch.get_rng_state()} | falling,
            history=self.history,
        )
        self.history = {name: [] for name in self.history}

    def save_is_due(self) -> bool:
        """Every ``save_every`` steps, each of the last ``save_last``, at both ends, where the loss has fallen far, and
        where another block of the examples begins."""
        left = self.total_steps - self.step
        regular = self.step % self.settings["save_every"] == 0 or left < max(1, self.settings["save_last"])
        return bool(regular or self.falling.has_fallen or self.step in self.order.changes)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"diverged: the loss is {loss} after {self.step} steps with lr={self.settings['lr']:g}. Try a smaller "
                f"one; the checkpoints in {self.out} were saved before and are good"
            )


def part_seed(settings: dict[str, Any], part: str) -> int:
    """The seed of the initial weights or of the order of the data: its own, or that of the run."""
    own = settings.get(part)
    return int(settings["seed"] if own is None else own)


def adversary_of(settings: Mapping[str, Any]) -> dict[str, Any] | None:
    """What moves the inputs of each batch, as :class:`BatchLoss` takes it."""
    if (norm := settings.get("adversary")) is None:
        return None
    return {"norm": norm, **settings["adversary_options"]}


def make_order(problem: Problem, settings: dict[str, Any]) -> Order:
    """The order of the examples that the settings ask for."""
    options, seed, epochs = settings["options"], part_seed(settings, "order_seed"), settings["epochs"]
    if settings["optimizer"] in BY_CLIENTS:
        labels = ranks(problem.train, "sorted")
        assert labels is not None
        return ClientOrder(
            labels, settings["batch_size"], clients=options["clients"], skew=options["skew"], epochs=epochs, seed=seed
        )
    return BatchOrder(
        problem.num_examples,
        settings["batch_size"],
        epochs=epochs,
        seed=seed,
        kind=settings["order"],
        ranks=ranks(problem.train, settings["order"]),
        schedule=settings["batch_schedule"],
        options={**settings["order_options"], **settings["batch_schedule_options"]},
    )


def train(
    problem: Problem, out: str | Path, *, resume: bool = False, progress: Progress | None = None, **requested: Any
) -> Checkpoint:
    """Train into a folder and return the last checkpoint.

    The global random state is borrowed (dropout draws from it) and put back.

    Parameters
    ----------
    resume : bool
        Go on from the newest usable checkpoint of the folder; its settings stand.
    progress : callable, optional
        Called as ``progress(steps made, steps in all)``, at the start and after each step.
    requested
        See :func:`landscape.training.training_settings`.

    Raises
    ------
    Diverged
        If the loss is no longer finite.
    UsageError
        If the folder already holds a run and ``resume`` is not asked for, or a setting is unknown or unusable.
    CheckpointError
        If another process trains into the folder, or it cannot be written.
    """
    out = Path(out)
    with sole_training(out):
        return _train(problem, out, resume, progress or (lambda step, total: None), requested)


def _train(problem: Problem, out: Path, resume: bool, progress: Progress, requested: dict[str, Any]) -> Checkpoint:
    latest = latest_checkpoint(out, resume=resume)
    settings = (
        training_settings(problem, requested) if latest is None else resumed_settings(problem, requested, latest.config)
    )
    remove_temporaries(out)
    run = Training(problem, settings, out)
    with run.seeded():
        if latest is None:
            run.save()
        else:
            run.restore(latest)
        progress(run.step, run.total_steps)
        while run.step < run.total_steps:
            run.advance()
            if run.save_is_due():
                run.save()
            progress(run.step, run.total_steps)
    return CheckpointDir(out)[-1]


@contextmanager
def sole_training(out: Path) -> Iterator[None]:
    """Hold a folder for one training; the lock of a process that died does not bind."""
    lock, was_there = WriterLock(out / LOCK), out.is_dir()
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Held as error:
        raise CheckpointError(
            f"process {error.holder} is training into {out}; wait until it has ended, or choose another folder"
        ) from None
    except OSError as error:
        raise CheckpointError(f"cannot write into {out}: {reason(error)}") from error
    try:
        yield
    finally:
        lock.release()
        if not was_there:
            with suppress(OSError):  # made for nothing, where nothing was trained
                out.rmdir()


def latest_checkpoint(out: Path, *, resume: bool) -> Checkpoint | None:
    """The newest checkpoint that can be used; None where there is no run yet."""
    files = checkpoint_files(out)
    if files and not resume:
        raise UsageError(f"{out} already holds a run of {len(files)} checkpoints: resume it, or choose another folder")
    if not files:
        return None
    usable, skipped = CheckpointDir(out).usable(last=1)
    if not usable:
        raise UsageError(f"nothing in {out} can be resumed: {skipped[-1].reason}")
    return usable[0]
