"""Several vectors multiplied at once, where that is faster; and how long a product takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from landscape import distributed
from landscape.device import synchronize
from landscape.hvp.agreement import AGREEMENT, IMPOSSIBLE, direction, distance, first_line
from landscape.hvp.linearized import BLOCKS, Linearized
from landscape.hvp.product import LossParts, Product, first_chunk
from landscape.hvp.summed import Summed

#: What compiling took on two networks of 60,000 and 100,000 parameters; and in recordings, on one of 10 million.
COMPILING_SECONDS, COMPILING_TIMES = 40.0, 15.0
BLOCKING_SECONDS, BLOCKING_SAVES = 1.0, 0.2
BLOCKING_TIMES = 4.0  # the cost of trying a block, in recordings of one vector
BLOCKING_MEMORY = 0.25  # of what may be kept: a block's tangents come and go with each product
TIMING_SECONDS = 1.0  # at most, to time a candidate


def consider_blocks(
    product: Product, parts: LossParts, theta: Tensor, *, memory: int, expected: int, recording: float = 0.0
) -> str:
    """Let a recorded product multiply several columns at once, if that is faster; returns what was measured.

    ``recording`` is the seconds that the product of one vector took to record; that of a block takes longer. Where
    several ranks measure, rank 0 tries and chooses.
    """
    own = product.own if isinstance(product, Summed) else product

    def tried() -> tuple[str, int | None, str]:
        said = _consider(own, parts, theta, memory, expected, recording)
        return said, getattr(own, "block_size", None), own.name

    said, size, name = distributed.by_first(tried, "the choice of a block")
    if isinstance(own, Linearized):
        own.block_size = size
    if isinstance(product, Summed):
        product.name = name
    return said


def _consider(product: Product, parts: LossParts, theta: Tensor, memory: int, expected: int, recording: float) -> str:
    if not isinstance(product, Linearized):
        return "one after another: this route knows nothing better"
    if has_filters(parts) and theta.device.type == "cpu":
        return "one after another: on a CPU convolutions gain nothing from blocks"
    one = Linearized(first_chunk(parts), theta, kernels=product.kernels, first=product.first)
    held = max(one.kept_bytes, 1)
    alone = seconds(lambda: one(direction(theta)), theta.device)
    compiled = product.kernels.compiled
    cost = max(COMPILING_SECONDS, recording) if compiled else max(BLOCKING_SECONDS, BLOCKING_TIMES * recording)
    best, seen = alone, []
    for size in sorted(BLOCKS):
        if size * held > BLOCKING_MEMORY * memory or expected * best / parts.shares[0] * BLOCKING_SAVES < cost:
            break
        V = torch.stack([direction(theta, seed) for seed in range(size)], dim=1)
        try:
            apart = distance(one.together(V), torch.stack([one(V[:, i]) for i in range(size)], dim=1))
        except IMPOSSIBLE as error:
            return f"one after another: {first_line(error)}"
        each = seconds(partial(one.together, V), theta.device) / size
        seen.append(f"{1e3 * each:.2f} ms a vector in blocks of {size}")
        if not (each < best and apart <= AGREEMENT[theta.dtype]):
            break
        best, product.block_size = each, size
    figures = ", ".join([*seen, f"{1e3 * alone:.2f} ms alone"]) + ", on the first chunk"
    return f"in blocks of {product.block_size}: {figures}" if product.block_size else f"one after another: {figures}"


def has_filters(parts: LossParts) -> bool:
    """Whether θ holds filters wider than a point, of images."""
    return any(s[2] * s[3] > 1 for s in parts.layout.shapes if len(s) == 4)


def seconds(
    call: Callable[[], Any], device: torch.device, limit: float = TIMING_SECONDS, *, first: float | None = None
) -> float:
    """The shortest of up to five runs of what has run before, at least one, until the limit is spent; ``first`` is the
    time of a run that counts."""
    times: list[float] = [] if first is None else [first]
    while not times or (len(times) < 5 and sum(times) < limit):
        synchronize(device)
        started = time.perf_counter()
        call()
        synchronize(device)
        times.append(time.perf_counter() - started)
    return min(times)
