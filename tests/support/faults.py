"""``tests.support.faults``: a problem whose model, loss or factory goes wrong in the way that its config names."""

from __future__ import annotations

import ctypes
import functools
import os
import signal
import warnings
from pathlib import Path

import torch
from torch import nn

import landscape as ls
from landscape.problems import Problem

SPEC = "tests.support.faults:factory"
#: While this names a file that exists, the factory goes wrong where the config says so.
SWITCH = "LANDSCAPE_TEST_SWITCH"
TINY = {
    "plan": "quick", "last": 2, "eigs": 2, "trace_probes": 2, "density_probes": 1, "steps": 2, "points": 3,
    "plane_points": 3, "directions": 1, "samples": 2, "restarts": 1, "barriers": 0, "problem": SPEC, "workers": 1,
}  # fmt: skip


class OwnError(BaseException):
    """Not even an Exception."""


class Unspeakable(Exception):
    """An error whose message cannot be made."""

    def __str__(self) -> str:
        return {}["missing"]


def recurse() -> None:
    recurse()


def warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.warn("this becomes an error", UserWarning, stacklevel=1)


def crash() -> None:
    ctypes.string_at(0)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def raising(error: BaseException) -> None:
    raise error


#: Fault → what it does, and what the one line about it begins with.
RAISES = {
    "ZeroDivisionError": (lambda: 1 / 0, "ZeroDivisionError: division by zero"),
    "KeyError": (lambda: {}["missing"], "KeyError: 'missing'"),
    "ImportError": (lambda: __import__("no_such_module"), "ModuleNotFoundError: No module named 'no_such_module'"),
    "RecursionError": (recurse, "RecursionError: maximum recursion depth exceeded"),
    "SystemExit": (lambda: raising(SystemExit(3)), "SystemExit: 3"),
    "StopIteration": (lambda: next(iter(())), "StopIteration (tests"),
    "MemoryError": (lambda: raising(MemoryError()), "MemoryError (tests"),
    "UserWarning": (warn, "UserWarning: this becomes an error"),
    "OwnError": (lambda: raising(OwnError("mine")), "OwnError: mine"),
    "Unspeakable": (lambda: raising(Unspeakable()), "Unspeakable: its message cannot be made: KeyError"),
    "lines": (lambda: raising(ValueError("one\n\ttwo\n" + "long " * 500)), "ValueError: one two long long"),
}
DIES = {"crash": crash, "kill": kill, "exit": lambda: os._exit(3)}
FAULTS = {**{name: act for name, (act, _) in RAISES.items()}, **DIES}


class InBackward(torch.autograd.Function):
    """Right forwards, an error backwards."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise KeyError("in backward")


class Model(nn.Module):
    """A linear model with a fault."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        self.linear, self.fault = nn.Linear(3, 2), fault

    def forward(self, x):
        if self.fault in FAULTS:
            FAULTS[self.fault]()
        if self.fault == "backward":
            x = x + 0 * InBackward.apply(self.linear.weight.sum())
        return self.linear(x)


def far_off(output, target, start):
    """A loss that cannot be evaluated far from where the training ended."""
    loss = nn.functional.cross_entropy(output, target)
    if float(loss.detach()) > start:
        raise ArithmeticError(f"the loss rose above {start}")
    return loss


def factory(fault: str = "", where: str = "forward", switch: bool = False) -> Problem:
    """A problem of two classes; with ``switch`` its fault is there only while the file of the switch is."""
    if switch and not os.path.exists(os.environ.get(SWITCH, "")):
        fault = ""
    if where == "factory" and fault:
        FAULTS[fault]()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(30, 3, generator=generator)
    data = x, (x[:, 0] + 0.1 * torch.randn(30, generator=generator) > 0).long()
    loss = functools.partial(far_off, start=0.4) if fault == "far" else nn.functional.cross_entropy
    return Problem(
        build=lambda: Model(fault), loss_fn=loss, loss_name="cross_entropy", train=data, test=data, num_classes=2
    )


def save(folder: Path, *, steps: int = 2, seed: int = 0, optimizer: str = "sgd", **config: object) -> Path:
    """Checkpoints of a run with a fault."""
    problem = ls.problems.load_problem(SPEC, {"switch": True, **config})
    model = problem.make_model(seed)
    named = torch.optim.Adam(model.parameters()) if optimizer == "adam" else torch.optim.SGD(model.parameters(), 0.1)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        sound = nn.Linear(3, 2)
    for step in range(1, steps + 1):
        for _ in range(10):
            loss = nn.functional.cross_entropy(sound(problem.train[0]), problem.train[1])
            with torch.no_grad():
                for parameter, slope in zip(
                    sound.parameters(), torch.autograd.grad(loss, list(sound.parameters())), strict=True
                ):
                    parameter -= (0.4 if optimizer == "adam" else 0.5) * slope
        model.linear.load_state_dict(sound.state_dict())
        run = {"optimizer": optimizer, "seed": seed}
        ls.save_checkpoint(folder, model, step=step, problem=problem, optimizer=named, config=run)
    return folder
