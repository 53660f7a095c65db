"""Which way to compute ∇²L(θ)·v: candidates are tried on one chunk of this model and data, and the fastest is taken.

None may be taken that does not agree with double backward, or does not fit the memory. Recording and compiling cost
seconds and tens of seconds, so they are tried only where the products expected repay them.
"""

from __future__ import annotations

import logging
import sys
import time
from functools import partial

import torch
from torch import Tensor

from landscape import distributed
from landscape.device import synchronize
from landscape.distributed import Sums
from landscape.errors import ObjectiveError
from landscape.hvp.agreement import (
    AGREEMENT,
    IMPOSSIBLE,
    NotFiniteError,
    check_finite,
    direction,
    distance,
    first_line,
    refusal,
)
from landscape.hvp.blocks import COMPILING_SECONDS, COMPILING_TIMES, TIMING_SECONDS, has_filters, seconds
from landscape.hvp.finite_differences import Differences
from landscape.hvp.linearized import BLOCKS, CHANNELS_LAST, Kernels, Linearized, Residuals
from landscape.hvp.memory import allowed
from landscape.hvp.product import LossParts, Product, first_chunk
from landscape.hvp.reverse import Fresh, with_saved_bytes
from landscape.hvp.routes import build, by_name, check_route
from landscape.hvp.summed import Nothing, Summed
from landscape.hvp.trials import Candidate, RoutePlan
from landscape.hvp.verification import check_recording
from landscape.progress import say

DEFAULT_MATVECS = 100
#: What writing a recording down took on two networks of 60,000 and 100,000 parameters, how many times that the first
#: takes in a process, which loads torch's compiler, and what recordings and compiling save at least.
RECORDING_SECONDS, FIRST_RECORDING, RECORDING_SAVES = 0.4, 4.0, 0.4
LAYOUT_TRIAL = 4.0  # another layout seldom wins, so that only a fourth of its trials repays
COMPILING_SAVES, LAYOUT_SAVES = 0.2, 0.15
#: Time to spend on timing a candidate: this share of the expected work, at least ``TIMING_LEAST`` and at most
#: ``TIMING_SECONDS`` seconds. A product that took more than ``TIMING_ONCE`` is not made again for it.
TIMING_SHARE, TIMING_LEAST, TIMING_ONCE = 0.01, 0.01, 0.1

#: Devices on which this process has multiplied.
_warm: set[str] = set()
_log = logging.getLogger("landscape.hvp")


def make(
    parts: LossParts, theta: Tensor, *, route: str = "auto", memory: float | None = None,
    expected_matvecs: int = DEFAULT_MATVECS, sums: Sums | None = None,
) -> tuple[Product, RoutePlan]:  # fmt: skip
    """The product by the route named, or by the fastest that is sound and fits ``memory`` bytes.

    Left out, ``memory`` is a part of what is free on the device. A route that is named and does not fit gives way to
    the one of the same numbers that keeps nothing. Where several ranks measure, rank 0 tries and chooses. With ``sums``
    the loss is what this rank has of the data, and the product is that of all of them.

    Raises
    ------
    ObjectiveError
        If the model has no second derivative, or the route named is impossible for it.
    """
    check_route(route)
    say("choosing how to multiply")
    room = allowed(memory, theta.device)
    if route == "auto":
        product, plan = _Trial(parts, theta, room, expected_matvecs).best()
    else:
        product = distributed.on_all_ranks(lambda: _named(route, parts, theta, room), f"building the route {route}")
        plan = RoutePlan(product.name, "asked for by name", expected_matvecs)
    return (product if sums is None else Summed(product, sums)), plan


def _named(route: str, parts: LossParts, theta: Tensor, memory: int) -> Product:
    if not parts.shares:
        return Nothing(route)
    with by_name(route):
        product = build(route, parts, theta, memory=memory)
        if isinstance(product, Linearized):
            check_recording(product, parts, theta)
            _check_blocks(product, theta)
    return product


def _check_blocks(product: Linearized, theta: Tensor) -> None:
    """A block against its sum: the map is linear, and the product with one vector is known to be right."""
    if product.block_size is None:
        return
    V = torch.stack([direction(theta, seed) for seed in range(min(BLOCKS))], dim=1)
    apart = distance(product.together(V).sum(1), product(V.sum(1)))
    if not apart <= AGREEMENT[theta.dtype]:
        raise ObjectiveError(f"several vectors at once differ from one after another by {apart:.1e}")


class _Trial:
    """Candidates on the first chunk, cheapest to prepare first; each is tried only if it can still repay itself."""

    def __init__(self, parts: LossParts, theta: Tensor, memory: int, expected: int) -> None:
        self.parts, self.theta, self.memory, self.expected = parts, theta, memory, expected
        if parts.shares:  # none on a rank for which there is no chunk
            self.one, self.share = first_chunk(parts), parts.shares[0]
        self.v = direction(theta)
        self.warm = str(theta.device) in _warm
        _warm.add(str(theta.device))
        self.reference: Tensor | None = None
        self.seen: list[Candidate] = []
        self.kernels: dict[str, Kernels] = {}
        self.residuals: dict[str, Residuals | None] = {}
        self.held, self.once = 0, 0.0  # of double backward: bytes of its graphs, seconds of a product on the chunk

    def best(self) -> tuple[Product, RoutePlan]:
        try:
            self.seen = distributed.by_first(self.tried, "the choice of a route")
            if not self.seen[0].seconds < float("inf"):
                return self.built("fresh"), RoutePlan("fresh", self.seen[0].refused, self.expected)
            return self.settle()
        except NotFiniteError as error:
            # Norms and roots at zero: the loss may be smooth all the same.
            product = distributed.on_all_ranks(partial(self.differences, error), "differences of gradients")
            settled = distributed.agreed(getattr(product, "error", 0.0), "how far differences settle")
            reason = f"double backward gives NaN here; differences of gradients settle to {settled:.0e} ({error})"
            return product, RoutePlan(product.name, reason, self.expected)

    def differences(self, error: NotFiniteError) -> Product:
        """Of gradients, where they settle."""
        if not self.parts.shares:
            return Nothing("differences")
        product = Differences(self.parts, self.theta)
        if product.settled(self.v) is None:
            raise error
        return product

    def tried(self) -> list[Candidate]:
        """Try the routes in turn."""
        self.try_route("fresh")
        if not self.seen[0].seconds < float("inf"):
            return self.seen
        held = self.held
        if self.repays(self.recording_seconds(), RECORDING_SAVES):
            keep = "linearized" if held <= self.memory else "forward"
            self.try_route(keep)
            if has_filters(self.parts) and self.repays(LAYOUT_TRIAL * self.recording_seconds(), LAYOUT_SAVES):
                self.try_route(f"{keep}/{CHANNELS_LAST}")
        # Where the recording halves the time, kept graphs, which save less, are not worth the trial.
        if held <= self.memory and self.fastest().seconds > 0.5 * self.seen[0].seconds:
            self.try_route("retained", held=held)
        fastest = self.fastest()
        compiling = max(COMPILING_SECONDS, COMPILING_TIMES * fastest.preparing)
        if fastest.route in self.kernels and self.repays(compiling, COMPILING_SAVES):
            base, *suffixes = fastest.route.split("/")
            self.try_route("/".join([{"linearized": "compiled", "forward": "compiled-forward"}[base], *suffixes]))
        return self.seen

    def built(self, route: str) -> Product:
        """The product over all chunks, which a recording must agree with."""
        if not self.parts.shares:
            return Nothing(route)
        known = self.residuals.get(route)  # of the first chunk, which was checked when the route was tried
        product = build(route, self.parts, self.theta, self.kernels.get(route), known)
        if isinstance(product, Linearized) and (len(self.parts.shares) > 1 or route not in self.kernels):
            check_recording(product, self.parts, self.theta, first_known=route in self.kernels)
        return product

    def settle(self) -> tuple[Product, RoutePlan]:
        """Build the fastest; where it then disagrees, the next."""
        while True:
            fastest = self.fastest()
            try:
                product = distributed.on_all_ranks(
                    partial(self.built, fastest.route), f"building the route {fastest.route}"
                )
            except NotFiniteError:
                raise
            except IMPOSSIBLE as error:
                if fastest.route == "fresh":
                    raise
                place = self.seen.index(fastest)
                self.seen[place] = Candidate(fastest.route, float("inf"), refused=first_line(error))
                continue
            reason = f"the fastest of {len(self.seen)} for about {self.expected} products"
            plan = RoutePlan(product.name, reason, self.expected, tuple(self.seen))
            _log.info("%s", plan)
            return product, plan

    def fastest(self) -> Candidate:
        return min((c for c in self.seen if not c.refused), key=lambda c: c.seconds)

    def repays(self, cost: float, saves: float) -> bool:
        return self.expected * self.fastest().seconds * saves > cost

    def recording_seconds(self) -> float:
        """What a recording costs: the chunk is computed twice, and each operation written down."""
        loading = 1.0 if "torch._dynamo" in sys.modules else FIRST_RECORDING
        return RECORDING_SECONDS * loading + 2 * self.once

    def try_route(self, route: str, *, held: int = 0) -> None:
        started = self.now()
        try:
            product = build(route, self.one, self.theta)
            ready = self.now()
            out = self.first_product(product)
        except IMPOSSIBLE as error:
            self.seen.append(Candidate(route, float("inf"), refused=first_line(error)))
            return
        once = self.now() - ready
        if self.reference is None:
            check_finite(out, self.one, self.theta)
            self.reference, self.once = out, once
        apart = distance(out, self.reference)
        if isinstance(product, Linearized):
            self.kernels[route], held = product.kernels, int(product.kept_bytes / self.share)
            self.residuals[route] = product.first
        work = self.expected * (self.fastest().seconds if self.seen else once / self.share)
        patience = min(max(TIMING_SHARE * work, TIMING_LEAST), TIMING_SECONDS)
        # What runs for the first time may take longer. To see that costs more than it tells where it took long, or
        # where nothing hangs on it.
        decided = bool(self.seen) and not 0.5 < once / self.share / self.fastest().seconds < 2
        first = once if self.warm and (once > TIMING_ONCE or decided) else None
        took = seconds(lambda: product(self.v), self.theta.device, 0 if decided else patience, first=first)
        refused = refusal(self.one, self.theta, self.v, self.reference, out)
        if held > self.memory:
            refused = f"keeps {held / 2**30:.1f} GiB of {self.memory / 2**30:.1f} allowed"
        preparing = ready - started + max(once - took, 0.0)
        self.seen.append(Candidate(route, took / self.share, held, apart, preparing, refused))

    def now(self) -> float:
        """The time, once the device has done all that it was given."""
        synchronize(self.theta.device)
        return time.perf_counter()

    def first_product(self, product: Product) -> Tensor:
        """The product, and of double backward what the graphs of all chunks would keep."""
        if not isinstance(product, Fresh):
            return product(self.v)
        out, saved = with_saved_bytes(lambda: product(self.v))
        self.held = int(saved / self.share)
        return out
