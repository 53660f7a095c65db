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
import sys
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from landscape.errors import LandscapeError, UsageError
from landscape.optimizers import OPTIMIZERS, SCHEDULES
from landscape.problems import PROBLEMS, load_problem
from landscape.problems.adversary import ADVERSARIES
from landscape.training import BATCH_SCHEDULES, ORDERS, Diverged, latest_checkpoint, train

SETTINGS = (
    "optimizer", "lr", "batch_size", "epochs", "schedule", "order", "batch_schedule", "adversary", "seed", "init_seed",
    "order_seed", "save_every", "save_last", "save_losses",
)  # fmt: skip
OPTIONS = {"opt": "options", "schedule_opt": "schedule_options", "order_opt": "order_options",
           "batch_opt": "batch_schedule_options", "adversary_opt": "adversary_options"}  # fmt: skip


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; what is left out stays None."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    pair: dict[str, Any] = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
    parser.add_argument("--problem", help=f"pkg.mod:factory, or one of {', '.join(PROBLEMS)}")
    parser.add_argument("--problem-config", type=json.loads, metavar="JSON")
    parser.add_argument("--optimizer", help=", ".join(OPTIMIZERS))
    parser.add_argument("--lr", type=float)
    parser.add_argument("--opt", **pair, help="optimizer option, repeatable")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--schedule", help=f"of the learning rate: {', '.join(SCHEDULES)}")
    parser.add_argument("--schedule-opt", **pair, help="repeatable")
    parser.add_argument("--order", help=f"of the examples: {', '.join(ORDERS)}")
    parser.add_argument("--order-opt", **pair, help="repeatable")
    parser.add_argument("--batch-schedule", help=f"of the batch size: {', '.join(BATCH_SCHEDULES)}")
    parser.add_argument("--batch-opt", **pair, help="repeatable")
    parser.add_argument("--adversary", help=f"moves the inputs of each batch against it: {', '.join(ADVERSARIES)}")
    parser.add_argument("--adversary-opt", **pair, help="repeatable")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--init-seed", type=int, help="of the initial weights; left out, the seed")
    parser.add_argument("--order-seed", type=int, help="of the order of the data; left out, the seed")
    parser.add_argument("--out", type=Path, required=True, help="folder of this run")
    parser.add_argument(
        "--save-every", type=int, metavar="STEPS", help="left out: once per epoch; full batch, as often"
    )
    parser.add_argument("--save-last", type=int, metavar="N", help="also each of the last N steps")
    parser.add_argument(
        "--save-losses", type=float, metavar="FACTOR", help="also whenever the loss has fallen by it, such as 1.25"
    )
    parser.add_argument("--resume", action="store_true", help="go on exactly where the folder's run stopped")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where data files lie, for problems that need some")
    parser.add_argument("--threads", type=int, help="of torch; another number rounds differently")
    return parser.parse_args(argv)


def options(pairs: list[str]) -> dict[str, Any] | None:
    """``["betas=[0.9, 0.99]", "rule=greedy"]`` → ``{"betas": [0.9, 0.99], "rule": "greedy"}``; None for nothing."""
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign:
            raise UsageError(f"{pair}: expected KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except json.JSONDecodeError:
            found[key] = value  # a word
    return found or None


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
        asked = {name: getattr(args, name) for name in SETTINGS} | {"threads": torch.get_num_threads()}
        asked |= {setting: options(getattr(args, flag)) for flag, setting in OPTIONS.items()}
        with progress_bar() as bar:
            task = bar.add_task(args.out.name, total=None)
            report = lambda step, total: bar.update(task, completed=step, total=total)  # noqa: E731
            last = train(problem, args.out, resume=args.resume, progress=report, **asked)
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


def progress_bar() -> Progress:
    """On stderr, with the time left; silent where nobody watches."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    console = Console(stderr=True)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


if __name__ == "__main__":
    sys.exit(main())
