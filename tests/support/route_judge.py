"""Judge of routes: right, refused, wrong, another library's error, or dead; each case in a process of its own.

``python -m tests.support.route_judge [--compiled] NAME …`` prints one line of JSON for every route of every case. The
truth is central differences of plain first derivatives in float64, at the model's θ and buffers and again where both
have moved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

import landscape as ls
from tests.support.layers_by_name import LAYERS
from tests.support.losses_by_name import EXAMPLES, LOSSES

CASES = {**LOSSES, **LAYERS}
ROUTES = ("fresh", "retained", "linearized", "forward", "linearized/blocks-4")
CHUNK, COLUMNS, LIMIT, SECONDS, STEP = 3, 4, 1e-5, 300, 1e-5


def judge(name: str, *, compiled: bool = False) -> Iterator[dict[str, Any]]:
    """What every route makes of a case: ``verdict`` and, where it is not right, ``detail``."""
    torch.manual_seed(0)
    model, loss_fn, data = CASES[name]()
    model = model.double().eval()
    truth = Truth(model, loss_fn, data)
    V = torch.randn(truth.size, COLUMNS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    V[truth.fixed] = 0

    def objective(check: bool = False) -> ls.Objective:
        return ls.Objective(model, loss_fn, data, chunk=CHUNK, check=check)

    yield verdict(name, "preflight", lambda: [(objective(True).gradient(), truth.gradient())])
    routes = (*ROUTES, *(("compiled",) if compiled else ()))
    made: dict[str, ls.HessianOperator] = {}

    def here(route: str) -> list[tuple[Tensor, Tensor]]:
        made[route] = ls.HessianOperator(objective(), route=route)
        return [(made[route] @ V, truth.hessian(V))]

    for route in routes:
        yield verdict(name, route, lambda r=route: here(r))
    for route in ("fresh", "linearized"):
        yield verdict(name, f"gauss-newton {route}", lambda r=route: [
            (ls.GaussNewtonOperator(objective(), route=r) @ V, truth.gauss_newton(V))
        ])  # fmt: skip
    truth.move()
    for route in made:
        yield verdict(name, f"{route} elsewhere", lambda r=route: [
            (made[r].at(made[r].objective.theta) @ V, truth.hessian(V))
        ])  # fmt: skip


def verdict(name: str, route: str, pairs: Callable[[], list[tuple[Tensor, Tensor]]]) -> dict[str, Any]:
    """Right, refused, wrong or foreign."""
    say({"case": name, "route": route, "verdict": "begun"})
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            apart = max(float((ours - true).norm() / (1e-9 + true.norm())) for ours, true in pairs())
    except ls.LandscapeError as error:
        return {"case": name, "route": route, "verdict": "refused", "detail": str(error)}
    except Exception as error:
        where = traceback.format_exc().splitlines()[-9:]
        return {
            "case": name,
            "route": route,
            "verdict": "foreign",
            "detail": f"{type(error).__name__}: {error}",
            "at": where,
        }
    return {"case": name, "route": route, "verdict": "right" if apart <= LIMIT else "wrong", "detail": f"{apart:.1e}"}


class Truth:
    """Products from first derivatives alone: of the mean over examples, or of the batch if the loss is no such mean."""

    def __init__(self, model: nn.Module, loss_fn: Callable[[Any, Any], Tensor], data: tuple[Any, Any]) -> None:
        self.model, self.loss_fn, self.data = model, loss_fn, data
        self.parameters = list(model.parameters())
        self.size = sum(p.numel() for p in self.parameters)
        self.chunk = CHUNK
        with torch.no_grad():
            parts = sum(share * loss_fn(self.outputs(x), y) for share, x, y in self.chunks())
            whole = loss_fn(self.outputs(data[0]), data[1])
        if not torch.isclose(parts, whole, rtol=1e-9):
            self.chunk = EXAMPLES
        marks = [torch.zeros_like(p, dtype=torch.bool) for p in self.parameters]
        for module in model.modules():
            if isinstance(module, nn.Embedding) and module.padding_idx is not None:
                place = next(i for i, p in enumerate(self.parameters) if p is module.weight)
                marks[place][module.padding_idx] = True
        self.fixed = torch.cat([mark.reshape(-1) for mark in marks])  # rows that training never moves

    def chunks(self) -> Iterator[tuple[float, Any, Any]]:
        for first in range(0, EXAMPLES, self.chunk):
            part = slice(first, min(first + self.chunk, EXAMPLES))
            x, y = (pytree.tree_map(lambda t, part=part: t[part], half) for half in self.data)
            yield (part.stop - part.start) / EXAMPLES, x, y

    def outputs(self, x: Any) -> Tensor:
        return self.model(*x) if isinstance(x, tuple) else self.model(x)

    def gradient(self) -> Tensor:
        losses = [share * self.loss_fn(self.outputs(x), y) for share, x, y in self.chunks()]
        return flat(torch.autograd.grad(sum(losses), self.parameters, allow_unused=True), self.parameters)

    def hessian(self, V: Tensor) -> Tensor:
        return torch.stack([self._along(v, self.gradient) for v in V.T], dim=1)

    def gauss_newton(self, V: Tensor) -> Tensor:
        return torch.stack([self._gauss_newton(v) for v in V.T], dim=1)

    def _gauss_newton(self, v: Tensor) -> Tensor:
        total = torch.zeros_like(v)
        for share, x, y in self.chunks():
            tangent = self._along(v, lambda x=x: self.outputs(x).detach())
            f = self.outputs(x)

            def slope(at: Tensor, y: Any = y) -> Tensor:
                at = at.detach().requires_grad_()
                return torch.autograd.grad(self.loss_fn(at, y), at)[0]

            step = STEP / max(float(tangent.norm()), 1e-12)
            bent = (slope(f + step * tangent) - slope(f - step * tangent)) / (2 * step)
            total += share * flat(torch.autograd.grad(f, self.parameters, bent, allow_unused=True), self.parameters)
        return total

    def _along(self, v: Tensor, read: Callable[[], Tensor]) -> Tensor:
        step, seen = STEP / float(v.norm()), []
        for sign in (1, -2, 1):  # there, across, and back
            self.shift(sign * step * v)
            seen.append(read().clone())
        return (seen[0] - seen[1]) / (2 * step)

    def shift(self, by: Tensor) -> None:
        by = by.masked_fill(self.fixed, 0)
        with torch.no_grad():
            for parameter, part in zip(self.parameters, by.split([p.numel() for p in self.parameters]), strict=True):
                parameter += part.view_as(parameter)

    def move(self) -> None:
        """To another θ and other buffers."""
        self.shift(0.1 * torch.randn(self.size, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
        with torch.no_grad():
            for buffer in self.model.buffers():
                if buffer.is_floating_point():
                    buffer *= 1.25


def flat(pieces: Any, like: list[nn.Parameter]) -> Tensor:
    return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in zip(pieces, like, strict=True)])


def in_a_process_of_its_own(name: str, *, compiled: bool) -> None:
    """Print the lines of a case; the last says how the process ended, where that was not by itself."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            for line in judge(name, compiled=compiled):
                say(line)
        except BaseException:
            say({"case": name, "route": "judge", "verdict": "foreign", "detail": traceback.format_exc()})
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        say({"case": name, "route": "process", "verdict": "died", "detail": f"status {status}"})


def say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    asked = [word for word in sys.argv[1:] if not word.startswith("--")]
    torch.set_num_threads(1)
    for case in asked or list(CASES):
        in_a_process_of_its_own(case, compiled="--compiled" in sys.argv)
