"""A GPU beside the CPU of the same machine: are the answers the same, and how long does each take? At most ten minutes.

python -m benchmarks.device [--device cuda] [--size full] [--minutes 10] [--out benchmarks/DEVICE.md]

Each row is on disk when it is measured; called again, only what is missing is measured. What does not fit into the time
is listed as not measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import landscape as ls
from benchmarks.cases import SIZES, Case, build_case
from benchmarks.machine import describe
from landscape import device as devices
from landscape.store.outputs import write_whole

CASES = ("mlp", "lenet", "transformer-10M")
#: Compiling takes minutes, so it comes last.
SLOW = ("compiled",)
ROUTES = ("fresh", "retained", "linearized", "forward", "auto", *SLOW)
#: Relative distance of a product in float32 from the same one in float64 on the CPU that is rounding.
ROUNDING = 1e-4
_PRODUCTS, _TIMED = 100, 5


def main(arguments: list[str] | None = None) -> int:
    """Measure what is missing, writing after each row; 1 where an answer differs from the CPU's."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.device", description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", choices=SIZES, default="full", help="of networks and data")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=CASES)
    parser.add_argument("--routes", nargs="*", choices=ROUTES, default=ROUTES, help="of products")
    parser.add_argument("--minutes", type=float, default=10.0, help="after which nothing more is begun (default 10)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "DEVICE.md")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.minutes
    device = torch.device(options.device)
    kept = options.out.with_suffix(".json")
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    about = _about(device, options.size)
    if known.get("about") != about:
        known = {"about": about, "rows": {}}
    pairs = {name: _Pair(name, options.size, device) for name in options.cases}
    quick, last = [r for r in options.routes if not r.startswith("compiled")], [r for r in options.routes if r in SLOW]
    todo = [(name, *row) for name, pair in pairs.items() for row in _rows(pair, quick)]
    todo += [(name, *_product_by(route, pair)) for name, pair in pairs.items() for route in last]
    for name, row, measure in todo:
        key = f"{name}: {row}"
        if "values" in known["rows"].get(key, {}):
            continue
        known["rows"][key] = _measured(measure) if time.monotonic() < end else {"failure": "not measured: no time"}
        print(key, known["rows"][key], flush=True)
        write_whole(kept, json.dumps(known, indent=1))
        write_whole(options.out, _page(known))
    return int(any(row.get("values", {}).get("differs") for row in known["rows"].values()))


def _about(device: torch.device, size: str) -> dict[str, Any]:
    machine = describe()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    memory = devices.total_bytes(device)
    return {
        "device": name, "memory_gb": None if memory is None else round(memory / 1e9, 1), "size": size,
        "cpu": machine["cpu"], "cores": machine["cores"], "torch": torch.__version__,
    }  # fmt: skip


def _measured(measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"values": measure()}
    except Exception as error:  # a line in the table
        return {"failure": f"{type(error).__name__}: {str(error).splitlines()[0][:160] if str(error) else ''}"}


class _Pair:
    """A case on the device, in float32, and what is true of it, by the CPU."""

    def __init__(self, name: str, size: str, device: torch.device) -> None:
        self._name, self._size, self.device = name, size, device
        self._case: Case | None = None
        self._there: ls.Objective | None = None

    @property
    def case(self) -> Case:
        if self._case is None:
            self._case = build_case(self._name, self._size)
            if self._name.startswith("transformer"):  # in float64 on a CPU a product takes minutes on all of it
                self._case = self._case.with_data(min(8, len(self._case.inputs)))
        return self._case

    @property
    def there(self) -> ls.Objective:
        if self._there is None:
            self._there = ls.Objective(self.case.own_model().to(self.device), self.case.loss, self.case.data)
        return self._there

    def truth(self) -> tuple[float, Tensor, Tensor]:
        """Loss, gradient and a product, in float64 on the CPU, computed once."""
        if "product" not in self.case.memo:
            double = ls.Objective(
                self.case.own_model().double(), self.case.loss, self.case.data, dtype=torch.float64, check=False
            )
            loss, gradient = double.loss_and_gradient()
            product = double.hvp(self.case.vectors(1)[:, 0])
            self.case.memo |= {"loss": np.array(loss), "gradient": gradient.numpy(), "product": product.numpy()}
        memo = self.case.memo
        return float(memo["loss"]), torch.from_numpy(memo["gradient"]), torch.from_numpy(memo["product"])


Row = tuple[str, Callable[[], dict[str, Any]]]


def _rows(pair: _Pair, routes: Sequence[str]) -> Iterator[Row]:
    """What is measured of a case."""
    yield "loss and gradient", lambda: _first_derivatives(pair)
    for route in routes:
        yield _product_by(route, pair)
    yield "λ₁ and λ₂", lambda: _eigenvalues(pair)
    yield "trace by 16 probes", lambda: _trace(pair)
    yield "generators and settings", lambda: _left_alone(pair)


def _product_by(route: str, pair: _Pair) -> Row:
    return f"product, {route}", lambda: _product(pair, route)


def _first_derivatives(pair: _Pair) -> dict[str, Any]:
    loss, gradient = pair.there.loss_and_gradient()
    true_loss, true_gradient, _ = pair.truth()
    apart = max(abs(loss - true_loss) / abs(true_loss), _distance(gradient, true_gradient))
    return _judged(apart) | {"seconds": _seconds(lambda: pair.there.gradient(), pair.device)}


def _product(pair: _Pair, route: str) -> dict[str, Any]:
    began = time.perf_counter()
    H = ls.HessianOperator(pair.there, route=route, expected_matvecs=_PRODUCTS)
    v = pair.case.vectors(1)[:, 0].to(pair.device)
    product = H @ v
    devices.synchronize(pair.device)
    ready = time.perf_counter() - began
    found = _judged(_distance(product, pair.truth()[2]))
    return found | {"seconds": _seconds(lambda: H @ v, pair.device), "ready": ready, "taken": H.route}


def _eigenvalues(pair: _Pair) -> dict[str, Any]:
    began = time.perf_counter()
    H = ls.HessianOperator(pair.there, expected_matvecs=_PRODUCTS)
    eigs = ls.top_eigenpairs(H, 2, tol=1e-3, strict=False)
    taken = time.perf_counter() - began
    # The residual by one product in another way bounds the distance to an eigenvalue.
    u = torch.from_numpy(eigs.vectors[:, 0].astype("float32")).to(pair.device)
    residual = float((pair.there.hvp(u) - float(eigs.values[0]) * u).norm()) / abs(float(eigs.values[0]))
    stated = float(eigs.residuals[0]) / abs(float(eigs.values[0]))
    return {
        "values": [float(v) for v in eigs.values],
        "apart": residual,
        "differs": residual > 2 * stated + ROUNDING,
        "seconds": taken,
        "products": eigs.num_matvecs,
        "peak_gb": _gigabytes(devices.peak_bytes(pair.device)),
    }


def _trace(pair: _Pair) -> dict[str, Any]:
    H = ls.HessianOperator(pair.there, expected_matvecs=_PRODUCTS)
    began = time.perf_counter()
    found = ls.trace(H, num_probes=16, strict=False)
    return {"values": [float(found), float(found.sem or 0)], "differs": False, "seconds": time.perf_counter() - began}


def _left_alone(pair: _Pair) -> dict[str, Any]:
    """What a measurement may not change: random numbers there, and how exact products are."""
    states = _states(pair.device)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        exact = _distance(pair.there.hvp(pair.case.vectors(1)[:, 0]), pair.truth()[2])
        kept = torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
    same = all(torch.equal(a, b) for a, b in zip(states, _states(pair.device), strict=True))
    return _judged(exact) | {"differs": exact > ROUNDING or not same or not kept, "generators": same, "settings": kept}


def _states(device: torch.device) -> list[Tensor]:
    module: Any = getattr(torch, device.type, None)
    there = [module.get_rng_state(device)] if device.type != "cpu" else []
    return [torch.random.get_rng_state(), *there]


def _judged(apart: float) -> dict[str, Any]:
    return {"apart": apart, "differs": not apart <= ROUNDING}


def _distance(ours: Tensor, true: Tensor) -> float:
    return float((ours.cpu().double() - true).norm() / true.norm())


def _seconds(call: Callable[[], Any], device: torch.device) -> float:
    times = []
    for _ in range(_TIMED):
        devices.synchronize(device)
        began = time.perf_counter()
        call()
        devices.synchronize(device)
        times.append(time.perf_counter() - began)
    return sorted(times)[len(times) // 2]


def _gigabytes(size: int | None) -> float | None:
    return None if size is None else round(size / 1e9, 2)


def _page(known: dict[str, Any]) -> str:
    about, lines = known["about"], ["| what | apart from float64 on the CPU | seconds | remarks |", "|---|---|---|---|"]
    for key, row in known["rows"].items():
        found = row.get("values")
        if found is None:
            lines.append(f"| {key} | | | {row['failure']} |".replace("\n", " "))
            continue
        apart = f"{found['apart']:.1e}" if "apart" in found else ""
        said = [
            f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}"
            for k, v in found.items()
            if k not in ("apart", "seconds", "differs") and v is not None
        ]
        said += ["**differs**"] if found["differs"] else []
        seconds = f"{found['seconds']:.3g}" if "seconds" in found else ""
        lines.append(f"| {key} | {apart} | {seconds} | {', '.join(said)} |")
    title = f"# {about['device']}, float32, sizes: {about['size']}"
    memory = "" if about["memory_gb"] is None else f"; {about['memory_gb']} GB on the device"
    below = f"{about['cpu']}, {about['cores']} cores, torch {about['torch']}{memory}."
    return "\n".join([title, "", below, "", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
