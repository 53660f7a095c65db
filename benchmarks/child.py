"""One measurement in a process of its own: ``python -m benchmarks.child '<job as JSON>'``.

The job says what, and where the result goes; see ``__main__.jobs``.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import build_case
from benchmarks.harness import measure_pair
from benchmarks.memory import measure_memory
from benchmarks.workloads import SCALINGS, workloads
from benchmarks.workloads.scaling import measure_scaling


def do(job: dict[str, Any]) -> dict[str, Any]:
    """Measure what the job asks for."""
    cache = Path(job["cache"]) if job["cache"] else None
    if job["kind"] == "scaling":
        scaling = SCALINGS[job["name"]]
        return measure_scaling(
            scaling,
            job["contender"],
            size=job["size"],
            repeats=job["repeats"],
            sample_seconds=job["sample_seconds"],
            cache=cache,
        )
    workload = workloads(job["size"])[job["name"]]
    case = build_case(workload.case, job["size"], cache)
    if job["kind"] == "truth":
        if workload.truth is not None:
            workload.truth(case)
        return {"failure": None}
    contender = workload.contender(job["contender"])
    if job["kind"] == "memory":
        return measure_memory(contender, case)
    return measure_pair(workload, contender, case, repeats=job["repeats"], sample_seconds=job["sample_seconds"])


def without_nan(value: Any) -> Any:
    """The same with None for every number that JSON does not know."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Read the job, do it, write the result."""
    job = json.loads(sys.argv[1])
    if job["threads"]:
        torch.set_num_threads(job["threads"])
    result = do(job) | {"threads": torch.get_num_threads()}
    Path(job["result"]).write_text(json.dumps(without_nan(result), allow_nan=False))


if __name__ == "__main__":
    main()
