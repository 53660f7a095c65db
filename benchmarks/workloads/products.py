"""One Hessian-vector product over the whole data, and blocks of them, with the Hessian ready beforehand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks import ours, peers
from benchmarks.cases import Case
from benchmarks.harness import FASTEST_PEER, Answer, Contender, Goal, Workload
from benchmarks.reference import reference_gradient, reference_products

#: Relative, float32 against float64: what our own planner asks of a route.
TOLERANCE = 1e-4
WITH_ATTENTION = ("transformer", "transformer-10M")
SINGLES = ("mlp", "lenet", "transformer", "resnet", "transformer-10M")
MOST_GRADIENTS = 1.5
SINGLE_GOALS = (
    Goal("≥ 3 × the fastest peer", FASTEST_PEER, 3),
    Goal(f"≤ {MOST_GRADIENTS} eager gradients", "one gradient", 1 / MOST_GRADIENTS),
)
BLOCK_GOALS = (Goal("≥ 4 × the fastest peer, per vector", FASTEST_PEER, 4),)
BLOCKS = (8, 16)
BLOCK_CASES = ("mlp", "lenet", "transformer")


def workloads(size: str) -> list[Workload]:
    """A single product of each network, blocks of 8 and 16 of the smaller ones, and the memory of one."""
    singles = [_products(name, 1, SINGLE_GOALS if name in BLOCK_CASES else ()) for name in SINGLES]
    blocks = [_products(name, columns, BLOCK_GOALS) for name in BLOCK_CASES for columns in BLOCKS]
    return [*singles, *blocks, *(_memory(name) for name in ("lenet-more", "transformer", "resnet"))]


def product_error(case: Case, answer: Answer) -> float:
    """‖HV − truth‖ / ‖truth‖ over the block."""
    truth = reference_products(case, answer.value.shape[1])
    return float(np.linalg.norm(answer.value.double().numpy() - truth) / np.linalg.norm(truth))


def gradient_error(case: Case, answer: Answer) -> float:
    """The same of the gradient."""
    truth = reference_gradient(case)
    return float(np.linalg.norm(answer.value[:, 0].double().numpy() - truth) / np.linalg.norm(truth))


def _products(case: str, columns: int, goals: tuple[Goal, ...]) -> Workload:
    champion, *variants = ours.product_contenders(columns)
    others = [*variants, *peers.product_contenders(columns, attention=case in WITH_ATTENTION)]
    if columns == 1:
        others += [replace(c, judge=gradient_error) for c in peers.gradient_contenders()]
    what = "One Hessian-vector product" if columns == 1 else f"A block of {columns} products, per vector"
    return Workload(
        name=f"hvp-{case}" if columns == 1 else f"block{columns}-{case}",
        title=f"{what}, whole data, {case}; the Hessian is ready",
        case=case,
        ours=champion,
        others=tuple(others),
        judge=product_error,
        error_name="relative error",
        tolerance=TOLERANCE,
        items=columns,
        sampled=True,
        goals=goals,
        truth=lambda case: (reference_products(case, columns), reference_gradient(case)),
    )


def _memory(case: str) -> Workload:
    """Ours in chunks with nothing kept, against tools that take the whole data at once; and ours that keep more."""
    attention = case in WITH_ATTENTION
    whole = [c for c in peers.product_contenders(1, attention=attention) if "batches" not in c.name]
    if attention:
        whole = [c for c in whole if "math attention" in c.name]
    variants = [
        Contender("ours, memory=0", ours.products({"memory": 0}, 1), role="ours"),
        Contender("ours, no hint", ours.products({}, 1), role="ours"),
        Contender("ours, whole data as one chunk", ours.products({}, 1, chunk=None), role="ours"),
    ]
    return Workload(
        name=f"memory-{case}",
        title=f"Peak memory of setting up and one product, {case}",
        case=case,
        ours=Contender("ours, no graph kept", ours.products({"route": "fresh"}, 1), role="ours"),
        others=(*variants, *whole),
        judge=product_error,
        error_name="relative error",
        tolerance=TOLERANCE,
        sampled=True,
        goals=(Goal("≤ 1/3 of PyHessian's memory in whole-batch mode", "PyHessian", 3, "bytes"),),
        truth=lambda case: reference_products(case, 1),
    )
