#!/usr/bin/env python
"""Train a problem and save checkpoints that ``landscape analyze`` reads.

    python scripts/train.py --problem lenet-digits --optimizer adam --lr 1e-3 --seed 0 --out checkpoints/lenet/adam-s0
    python scripts/train.py --out checkpoints/lenet/adam-s0 --resume

What is not asked for is as the problem's recipe says. Exit status: 0 done; 1 diverged, and the checkpoints from before
are good; 2 bad usage, or a folder that cannot be used.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from landscape.checkpoints import Checkpoint, CheckpointDir, checkpoint_files, remove_temporaries, save_checkpoint
from landscape.errors import LandscapeError, UsageError
from landscape.optimizers import make_optimizer, make_schedule
from landscape.problems import Problem, load_problem
from landscape.problems.metrics import chunks, evaluate
from landscape.problems.order import BatchOrder
from landscape.problems.settings import resumed_settings, training_settings


class Diverged(LandscapeError):
    """The loss is no longer a finite number."""


class Training:
    """One run: model, optimizer, schedule and the order of the examples, ``step`` steps along."""

    def __init__(self, problem: Problem, settings: dict[str, Any], out: Path) -> None:
        self.problem, self.settings, self.out, self.step = problem, settings, out, 0
        self.model = problem.make_model(settings["seed"])
        self.start = [p.detach().clone() for p in self.model.parameters()]
        self.order = BatchOrder(len(problem.train[1]), settings["batch_size"], seed=settings["seed"])
        self.total_steps = settings["epochs"] * self.order.steps_per_epoch
        trainable = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(settings["optimizer"], trainable, lr=settings["lr"], **settings["options"])
        self.scheduler = make_schedule(
            settings["schedule"], self.optimizer, total_steps=self.total_steps, **settings["schedule_options"]
        )

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint was saved, to the last bit."""
        checkpoint.load_into(self.model, optimizer=self.optimizer, scheduler=self.scheduler)
        state = checkpoint.resume_state()
        if state is None:
            raise UsageError(f"{checkpoint.path} holds no data order or random state; it was not saved by this script")
        self.order.restore(state["order"])
        torch.set_rng_state(state["rng"])
        self.step = checkpoint.step

    def advance(self) -> None:
        """One step of the optimizer on the next batch."""
        rows = self.order.next()
        inputs, targets = self.problem.train
        self.model.train()
        self.optimizer.zero_grad()
        loss = 0.0
        for share, (x, y) in chunks(inputs[rows], targets[rows]):
            part = share * self.problem.loss(self.model, x, y)
            part.backward()
            loss += float(part.detach())
        self._check_finite(loss)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1

    def save(self) -> None:
        """Measure and write a checkpoint."""
        metrics = evaluate(self.problem, self.model, start=self.start)
        self._check_finite(metrics["train_loss"])
        metrics |= {"epoch": self.step / self.order.steps_per_epoch, "lr": self.scheduler.get_last_lr()[0]}
        save_checkpoint(
            self.out,
            self.model,
            step=self.step,
            problem=self.problem,
            optimizer=self.optimizer,
            scheduler=self.scheduler,
            metrics=metrics,
            config=self.settings,
            resume={"order": self.order.state(), "rng": torch.get_rng_state()},
        )

    def save_is_due(self) -> bool:
        """Every ``save_every`` steps, each of the last ``save_last``, and at both ends."""
        left = self.total_steps - self.step
        return self.step % self.settings["save_every"] == 0 or left < max(1, self.settings["save_last"])

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"diverged: the loss is {loss} after {self.step} steps with lr={self.settings['lr']:g}. Try a smaller "
                f"one; the checkpoints in {self.out} were saved before and are good"
            )


def train(problem: Problem, out: str | Path, *, resume: bool = False, quiet: bool = False, **asked: Any) -> Checkpoint:
    """Train into a folder and return the last checkpoint. ``asked``: see ``training_settings``.

    The global random state is borrowed (dropout draws from it) and put back.
    """
    out = Path(out)
    latest = latest_checkpoint(out, resume=resume)
    settings = training_settings(problem, asked) if latest is None else resumed_settings(problem, asked, latest.config)
    remove_temporaries(out)
    run = Training(problem, settings, out)
    with torch.random.fork_rng(devices=[]), progress_bar(quiet=quiet) as bar:
        torch.default_generator.manual_seed(settings["seed"])
        if latest is None:
            run.save()
        else:
            run.restore(latest)
        task = bar.add_task(out.name, total=run.total_steps, completed=run.step)
        while run.step < run.total_steps:
            run.advance()
            if run.save_is_due():
                run.save()
            bar.update(task, completed=run.step)
    return CheckpointDir(out)[-1]


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


def progress_bar(*, quiet: bool) -> Progress:
    """On stderr, with the time left; silent where nobody watches."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=quiet or not console.is_terminal)


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; what is left out stays None."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--problem", help="a registered name, or pkg.mod:factory")
    parser.add_argument("--problem-config", type=json.loads, metavar="JSON")
    parser.add_argument("--optimizer", help="gd, sgd, momentum, nesterov, adam, adamw, rmsprop or adagrad")
    parser.add_argument("--lr", type=float)
    parser.add_argument("--opt", action="append", default=[], metavar="KEY=VALUE", help="optimizer option, repeatable")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--schedule", help="constant, step, exponential, cosine or polynomial")
    parser.add_argument("--schedule-opt", action="append", default=[], metavar="KEY=VALUE", help="repeatable")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument("--save-every", type=int, metavar="STEPS", help="left out: once per epoch; gd, about as often")
    parser.add_argument("--save-last", type=int, metavar="N", help="also each of the last N steps")
    parser.add_argument("--resume", action="store_true", help="go on exactly where the folder's run stopped")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where data files lie, for problems that need some")
    parser.add_argument("--threads", type=int, help="of torch; another number rounds differently")
    return parser.parse_args(argv)


def options(pairs: list[str]) -> dict[str, Any] | None:
    """``["betas=[0.9, 0.99]"]`` → ``{"betas": [0.9, 0.99]}``; None where nothing was given."""
    try:
        return {key: json.loads(value) for key, _, value in (pair.partition("=") for pair in pairs)} or None
    except json.JSONDecodeError as error:
        raise UsageError(f"{', '.join(pairs)}: expected KEY=VALUE with a JSON value ({error})") from error


def main(argv: list[str] | None = None) -> int:
    """Train as the command line says; return the exit status."""
    args = parse(argv)
    try:
        latest = latest_checkpoint(args.out, resume=args.resume)
        threads = args.threads or (latest.config.get("threads") if latest else None)
        if threads:
            torch.set_num_threads(threads)
        if latest is not None and args.problem_config is None:
            problem = latest.find_problem(args.problem, data_dir=args.data)
        elif args.problem is None:
            raise UsageError("name what to train on: --problem lenet-digits, or --problem pkg.mod:factory")
        else:
            problem = load_problem(args.problem, args.problem_config, data_dir=args.data)
        names = ("optimizer", "lr", "batch_size", "epochs", "schedule", "seed", "save_every", "save_last")
        asked = {name: getattr(args, name) for name in names} | {"threads": torch.get_num_threads()}
        asked |= {"options": options(args.opt), "schedule_options": options(args.schedule_opt)}
        last = train(problem, args.out, resume=args.resume, **asked)
    except KeyboardInterrupt:
        print(f"stopped; --resume goes on from the last checkpoint in {args.out}", file=sys.stderr)
        return 130
    except LandscapeError as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1 if isinstance(error, Diverged) else 2
    accuracy = last.metrics.get("test_accuracy")
    said = "" if accuracy is None else f", test accuracy {100 * accuracy:.1f} %"
    print(f"{last.path}: step {last.step}, train loss {last.metrics['train_loss']:.3g}{said}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
