"""What watching and saving take of a training: LeNet-5 and the small transformer, with and without, by turns.

python -m benchmarks.monitor [--problems lenet-digits char-transformer-small] [--steps 4500 8500] [--every 500]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

import landscape as ls
from landscape.optimizers import make_optimizer
from landscape.problems import Problem, get_problem

BLOCK = 25  # steps that one lane takes before the other goes on
BARE = 3  # of so many blocks one is trained without, too


class Lane:
    """One of two trainings that take turns, on a clock that stands while the other goes on."""

    def __init__(self, problem: Problem) -> None:
        self.problem, self.seconds = problem, 0.0
        self.model = problem.make_model(0)
        name = problem.recipe.optimizer
        self.optimizer = make_optimizer(name, self.model.parameters(), lr=problem.recipe.learning_rates.get(name, 0.01))
        self.generator = torch.Generator().manual_seed(0)
        self._since: float | None = None
        self.after: list[Callable[[], Any]] = []

    def clock(self) -> float:
        """CPU seconds of this lane."""
        running = 0.0 if self._since is None else time.process_time() - self._since
        return self.seconds + running

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Its clock runs."""
        self._since = time.process_time()
        try:
            yield
        finally:
            self.seconds += time.process_time() - self._since
            self._since = None

    def train(self, steps: int) -> None:
        """So many steps, each with what is called after it."""
        inputs, targets = self.problem.train
        self.model.train()
        for _ in range(steps):
            index = torch.randint(len(targets), (self.problem.recipe.batch_size,), generator=self.generator)
            self.optimizer.zero_grad()
            self.problem.mean_loss(self.model, (inputs[index], targets[index])).backward()
            self.optimizer.step()
            for call in self.after:
                call()


def compare(name: str, steps: int, every: int) -> list[tuple[str, str]]:
    """(what, how much) of one problem."""
    problem = get_problem(name)
    bare, watched = Lane(problem), Lane(problem)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack, torch.random.fork_rng(devices=[]):
        with watched.going_on():
            monitor = ls.Monitor(
                watched.model,
                problem.loss_fn,
                problem.train,
                optimizer=watched.optimizer,
                out=Path(folder) / "watched",
                clock=watched.clock,
            )
        made = watched.seconds
        stack.enter_context(monitor)
        writer = stack.enter_context(
            ls.CheckpointWriter(
                Path(folder) / "run", watched.model, every=every, optimizer=watched.optimizer, clock=watched.clock
            )
        )
        for lane in (bare, watched):
            lane.train(10)  # to warm up, uncounted and unwatched
        watched.after = [monitor.step, writer.step]
        blocks = steps // BLOCK
        for block in range(blocks):
            for lane in (watched,) if block % BARE else (bare, watched):
                with lane.going_on():
                    lane.train(BLOCK)
        files, seconds = len(writer.files), (watched.seconds - made) / (blocks * BLOCK)
    without = bare.seconds / (-(-blocks // BARE) * BLOCK)
    return [
        ("steps", f"{blocks * BLOCK:,} with both; without, one block of {BARE} beside them"),
        ("a step without", f"{1e3 * without:.2f} ms of CPU time"),
        ("a step with both", f"{1e3 * seconds:.2f} ms, {100 * (seconds / without - 1):+.2f} %"),
        ("Monitor's own share", f"{100 * monitor.share:.2f} %, {len(monitor.history)} measurements"),
        ("CheckpointWriter's own share", f"{100 * writer.share:.2f} %, {files} files, every {every} steps"),
        ("making the monitor", f"{monitor.setup_seconds:.2f} s, before training"),
        *((f"at step {found['step']}", _shown(found)) for found in monitor.history),
    ]


def _shown(found: dict[str, float]) -> str:
    said = {name.removeprefix("landscape/"): value for name, value in found.items()}
    parts = [f"loss {said['loss']:.4g}"]
    for name, error in (
        ("lambda_max", "lambda_max_error"),
        ("trace", "trace_sem"),
        ("critical_sharpness", "critical_sharpness_error"),
    ):
        if name in said:
            parts.append(f"{name} {said[name]:.4g} ± {said[error]:.2g}")
    return ", ".join([*parts, f"{said['seconds']:.3f} s, share {100 * said['share']:.2f} %"])


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor", description=__doc__)
    parser.add_argument("--problems", nargs="+", default=["lenet-digits", "char-transformer-small"])
    parser.add_argument("--steps", nargs="+", type=int, default=[4500, 8500], help="of each problem")
    parser.add_argument("--every", type=int, default=500, help="steps from checkpoint to checkpoint")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    for name, steps in zip(options.problems, options.steps, strict=True):
        print(f"\n{name}")
        for label, text in compare(name, steps, options.every):
            print(f"  {label:<30}{text}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
