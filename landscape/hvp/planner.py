"""Which way to compute ∇²L(θ)·v: candidates are tried on one chunk of this model and data, and the fastest is taken.

None may be taken that does not agree with double backward, or does not fit the memory. Recording and compiling cost
seconds and tens of seconds, so they are tried only where the products expected repay them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from landscape.errors import ObjectiveError, check_choice
from landscape.hvp.differences import Differences
from landscape.hvp.linearized import BLOCKS, CHANNELS_LAST, IN_BLOCKS, Kernels, Linearized
from landscape.hvp.product import LossParts, Product, first_chunk, other_chunks
from landscape.hvp.reverse import Fresh, Retained, retained_bytes

_SIMPLE: dict[str, Callable[..., Product]] = {"fresh": Fresh, "retained": Retained, "differences": Differences}
_RECORDED = ("linearized", "forward", "compiled", "compiled-forward")
ROUTES = ("auto", *_SIMPLE, *_RECORDED)
AGREEMENT = {torch.float32: 1e-4, torch.float64: 1e-9}  # relative, of a route with double backward before it is taken
#: Further than this from double backward no route may be; up to it, one that is about as near to the product in float64
#: may. A ReLU whose input is zero to the last bit is on in one order of summation and off in another; none is wrong.
MOST_APART, ABOUT = 1e-2, 2.0
DEFAULT_MEMORY = 2 * 2**30
DEFAULT_MATVECS = 100
#: What recording and compiling took on two networks of 60,000 and 100,000 parameters; and what they save at least.
RECORDING_SECONDS, RECORDING_SAVES = 2.0, 0.4
COMPILING_SECONDS, COMPILING_SAVES = 40.0, 0.2
LAYOUT_SAVES = 0.15
BLOCKING_SECONDS, BLOCKING_SAVES = 1.0, 0.2
BLOCKING_TIMES = 4.0  # the cost of trying a block, in recordings of one vector
BLOCKING_MEMORY = 0.25  # of what may be kept: a block's tangents come and go with each product
#: Of the work expected, at least and at most so many seconds, to time a candidate.
TIMING_SHARE, TIMING_LEAST, TIMING_SECONDS = 0.005, 0.01, 1.0
#: torch's errors where a route is impossible for a model; anything else is a defect and is raised.
_IMPOSSIBLE = (RuntimeError, NotImplementedError, TypeError, AttributeError, ObjectiveError)

_log = logging.getLogger("landscape.hvp")


@dataclass(frozen=True)
class Candidate:
    """A route as it did on the first chunk.

    Attributes
    ----------
    seconds : float
        Of one product over the whole data, scaled from the chunk; infinite where it could not be made.
    held : int
        Bytes it keeps between products, for the whole data.
    disagreement : float
        Relative distance from double backward.
    preparing : float
        Seconds to record and compile.
    refused : str
        Why it may not be taken; empty where it may.
    """

    route: str
    seconds: float
    held: int = 0
    disagreement: float = 0.0
    preparing: float = 0.0
    refused: str = ""


@dataclass(frozen=True)
class RoutePlan:
    """What was tried, what was taken, and why. Prints as a table."""

    route: str
    reason: str
    expected_matvecs: int
    candidates: tuple[Candidate, ...] = ()

    def __str__(self) -> str:
        lines = [f"route {self.route}: {self.reason}"]
        for c in self.candidates:
            cost = f"{1e3 * c.seconds:9.2f} ms" if c.seconds < float("inf") else "        –   "
            facts = f"{cost}  {c.held / 2**20:8.1f} MiB  off by {c.disagreement:7.1e}  prepared in {c.preparing:5.1f} s"
            lines.append(f"  {c.route:<28}{facts}{'  ' + c.refused if c.refused else ''}")
        return "\n".join(lines)

    __repr__ = __str__


def make(
    parts: LossParts, theta: Tensor, *, route: str = "auto", memory: int = DEFAULT_MEMORY,
    expected_matvecs: int = DEFAULT_MATVECS,
) -> tuple[Product, RoutePlan]:  # fmt: skip
    """The product by the route named, or by the fastest that is sound and fits ``memory`` bytes.

    Raises
    ------
    ObjectiveError
        If the model has no second derivative, or the route named is impossible for it.
    """
    _parse(route)
    if route == "auto":
        return _Trial(parts, theta, memory, expected_matvecs).best()
    try:
        product = _build(route, parts, theta)
        if route not in _SIMPLE:
            _check_agreement(product, parts, theta)
    except _IMPOSSIBLE as error:
        raise ObjectiveError(
            f"route={route!r} is impossible for this model: {_first_line(error)}. Take route='auto', which tries others"
        ) from error
    return product, RoutePlan(product.name, "asked for by name", expected_matvecs)


def again(product: Product, parts: LossParts, theta: Tensor) -> Product:
    """The same route at another θ of the same objective; what was recorded and compiled is used again."""
    if isinstance(product, Linearized):
        return Linearized(
            parts, theta, kernels=product.kernels, keep=product.keep, block_size=product.block_size
        )  # fmt: skip
    return _build(product.name, parts, theta)


def _parse(route: str) -> tuple[str, bool, int | None]:
    """Base, channels last, columns at once: of ``"compiled/channels-last/blocks-8"``."""
    base, *suffixes = str(route).split("/")
    check_choice("route", base, ROUTES)
    allowed = [CHANNELS_LAST, *(f"{IN_BLOCKS}{size}" for size in BLOCKS)] if base in _RECORDED else []
    for suffix in suffixes:
        check_choice(f"what follows {base!r} in route={route!r}", suffix, allowed)
    sizes = [int(suffix.removeprefix(IN_BLOCKS)) for suffix in suffixes if suffix != CHANNELS_LAST]
    return base, CHANNELS_LAST in suffixes, sizes[0] if sizes else None


def _build(route: str, parts: LossParts, theta: Tensor, kernels: Kernels | None = None) -> Product:
    base, channels_last, block_size = _parse(route)
    if base in _SIMPLE:
        return _SIMPLE[base](parts, theta)
    kernels = kernels or Kernels(compiled=base.startswith("compiled"), channels_last=channels_last)
    return Linearized(parts, theta, kernels=kernels, keep=not base.endswith("forward"), block_size=block_size)


def _check_agreement(product: Product, parts: LossParts, theta: Tensor, seen: Tensor | None = None) -> None:
    """Over all chunks: a model that decides by its data may have been recorded on another branch.

    ``seen`` is what double backward gave for the first chunk, where that is known.
    """
    v = _direction(theta)
    if seen is None:
        reference = Fresh(parts, theta)(v)
    else:
        reference = parts.shares[0] * seen + Fresh(other_chunks(parts), theta)(v)
    if refused := _refusal(parts, theta, v, reference, product(v)):
        raise ObjectiveError(f"it {refused}")


def _refusal(parts: LossParts, theta: Tensor, v: Tensor, reference: Tensor, out: Tensor) -> str:
    """Why a route that gives ``out`` where double backward gives ``reference`` may not be taken; empty where it may.

    Where they are apart by more than is agreed, float64 decides: the route may be taken if it is about as near to it.
    """
    apart, agreed = _distance(out, reference), AGREEMENT[theta.dtype]
    if apart <= agreed:
        return ""
    refused = f"differs from double backward by {apart:.1e}, more than {agreed:.0e}"
    if not apart <= MOST_APART or theta.dtype == torch.float64:
        return refused
    try:
        truth = Fresh(parts.in_double(), theta.double())(v.double())
    except _IMPOSSIBLE:  # a model that makes float32 tensors of its own
        return refused
    its, own = _distance(out.double(), truth), _distance(reference.double(), truth)
    return "" if its <= max(ABOUT * own, agreed) else f"{refused}, and is off by {its:.1e} from float64"


class _Trial:
    """Candidates on the first chunk, cheapest to prepare first; each is tried only if it can still repay itself."""

    def __init__(self, parts: LossParts, theta: Tensor, memory: int, expected: int) -> None:
        self.parts, self.theta, self.memory, self.expected = parts, theta, memory, expected
        self.one, self.share = first_chunk(parts), parts.shares[0]
        self.v = _direction(theta)
        self.reference: Tensor | None = None
        self.seen: list[Candidate] = []
        self.kernels: dict[str, Kernels] = {}

    def best(self) -> tuple[Product, RoutePlan]:
        self.try_route("fresh")
        if not self.seen[0].seconds < float("inf"):
            return Fresh(self.parts, self.theta), RoutePlan("fresh", self.seen[0].refused, self.expected)
        held = retained_bytes(self.parts, self.theta)
        if self.repays(RECORDING_SECONDS, RECORDING_SAVES):
            keep = "linearized" if held <= self.memory else "forward"
            self.try_route(keep)
            if _has_filters(self.parts) and self.repays(RECORDING_SECONDS, LAYOUT_SAVES):
                self.try_route(f"{keep}/{CHANNELS_LAST}")
        # Where the recording halves the time, kept graphs, which save less, are not worth the trial.
        if held <= self.memory and self.fastest().seconds > 0.5 * self.seen[0].seconds:
            self.try_route("retained", held=held)
        fastest = self.fastest()
        if fastest.route in self.kernels and self.repays(COMPILING_SECONDS, COMPILING_SAVES):
            base, *suffixes = fastest.route.split("/")
            self.try_route("/".join([{"linearized": "compiled", "forward": "compiled-forward"}[base], *suffixes]))
        return self.settle()

    def settle(self) -> tuple[Product, RoutePlan]:
        """Build the fastest over all chunks; where it then disagrees, the next."""
        while True:
            fastest = self.fastest()
            try:
                product = _build(fastest.route, self.parts, self.theta, self.kernels.get(fastest.route))
                # A single chunk was checked when the route was tried.
                if fastest.route in self.kernels and len(self.parts.shares) > 1:
                    _check_agreement(product, self.parts, self.theta, self.reference)
            except _IMPOSSIBLE as error:
                if fastest.route == "fresh":
                    raise
                place = self.seen.index(fastest)
                self.seen[place] = Candidate(fastest.route, float("inf"), refused=_first_line(error))
                continue
            reason = f"the fastest of {len(self.seen)} for about {self.expected} products"
            plan = RoutePlan(product.name, reason, self.expected, tuple(self.seen))
            _log.info("%s", plan)
            return product, plan

    def fastest(self) -> Candidate:
        return min((c for c in self.seen if not c.refused), key=lambda c: c.seconds)

    def repays(self, cost: float, saves: float) -> bool:
        return self.expected * self.fastest().seconds * saves > cost

    def try_route(self, route: str, *, held: int = 0) -> None:
        started = time.perf_counter()
        try:
            product = _build(route, self.one, self.theta)
            out = product(self.v)
        except _IMPOSSIBLE as error:
            self.seen.append(Candidate(route, float("inf"), refused=_first_line(error)))
            return
        preparing = time.perf_counter() - started
        self.reference = out if self.reference is None else self.reference
        apart = _distance(out, self.reference)
        if isinstance(product, Linearized):
            self.kernels[route], held = product.kernels, int(product.kept_bytes / self.share)
        work = self.expected * (self.fastest().seconds if self.seen else preparing / self.share)
        patience = min(max(TIMING_SHARE * work, TIMING_LEAST), TIMING_SECONDS)
        seconds = _seconds(lambda: product(self.v), self.theta.device, patience)
        refused = _refusal(self.one, self.theta, self.v, self.reference, out)
        if held > self.memory:
            refused = f"keeps {held / 2**30:.1f} GiB of {self.memory / 2**30:.1f} allowed"
        preparing = max(preparing - seconds, 0.0)
        self.seen.append(Candidate(route, seconds / self.share, held, apart, preparing, refused))


def consider_blocks(
    product: Product, parts: LossParts, theta: Tensor, *, memory: int, expected: int, recording: float = 0.0
) -> str:
    """Let a recorded product multiply several columns at once, if that is faster; says what was measured.

    ``recording`` is the seconds that the product of one vector took to record; that of a block takes longer.
    """
    if not isinstance(product, Linearized):
        return "one after another: this route knows nothing better"
    if _has_filters(parts) and theta.device.type == "cpu":
        return "one after another: on a CPU convolutions gain nothing from blocks"
    one = Linearized(first_chunk(parts), theta, kernels=product.kernels)
    held = max(one.kept_bytes, 1)
    alone = _seconds(lambda: one(_direction(theta)), theta.device)
    cost = COMPILING_SECONDS if product.kernels.compiled else max(BLOCKING_SECONDS, BLOCKING_TIMES * recording)
    best, seen = alone, []
    for size in sorted(BLOCKS):
        if size * held > BLOCKING_MEMORY * memory or expected * best / parts.shares[0] * BLOCKING_SAVES < cost:
            break
        V = torch.stack([_direction(theta, seed) for seed in range(size)], dim=1)
        try:
            apart = _distance(one.together(V), torch.stack([one(V[:, i]) for i in range(size)], dim=1))
        except _IMPOSSIBLE as error:
            return f"one after another: {_first_line(error)}"
        each = _seconds(partial(one.together, V), theta.device) / size
        seen.append(f"{1e3 * each:.2f} ms a vector in blocks of {size}")
        if each >= best or apart > AGREEMENT[theta.dtype]:
            break
        best, product.block_size = each, size
    figures = ", ".join([*seen, f"{1e3 * alone:.2f} ms alone"]) + ", on the first chunk"
    return f"in blocks of {product.block_size}: {figures}" if product.block_size else f"one after another: {figures}"


def _has_filters(parts: LossParts) -> bool:
    return any(s[2] * s[3] > 1 for s in parts.layout.shapes if len(s) == 4)


def _seconds(call: Callable[[], Any], device: torch.device, limit: float = TIMING_SECONDS) -> float:
    """The shortest of up to five runs of what has run before, at least one, until the limit is spent."""
    times: list[float] = []
    while not times or (len(times) < 5 and sum(times) < limit):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)


def _direction(theta: Tensor, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(theta.shape, generator=generator, dtype=torch.float64).to(theta)


def _distance(a: Tensor, b: Tensor) -> float:
    """Relative; 0 where both are zero."""
    size = float(b.norm())
    return float((a - b).norm()) / size if size > 0 else float((a - b).norm() > 0)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]
