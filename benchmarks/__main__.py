"""``python -m benchmarks``: every workload, one process per pair, then RESULTS.md and the raw numbers beside it."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import SIZES
from benchmarks.harness import SAMPLE_SECONDS
from benchmarks.machine import describe, load
from benchmarks.report import render
from benchmarks.workloads import SCALINGS, workloads
from landscape.store.outputs import write_whole

HERE = Path(__file__).parent
#: Where the result of a kind of job is kept.
HOMES = {"pair": "pairs", "memory": "memory", "scaling": "scaling"}


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write after each measurement, so that what is done is kept."""
    options = _parse(arguments)
    names = [*workloads(options.size), *SCALINGS]
    if unknown := [pattern for pattern in options.only or [] if not any(n.startswith(pattern) for n in names)]:
        print(f"no workload begins with {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    results: dict[str, Any] = {
        "machine": describe(),
        "settings": {"size": options.size, "repeats": options.repeats, "threads": options.threads or "default"},
    }
    with tempfile.TemporaryDirectory(prefix="landscape-bench-") as folder:
        todo = [job for job in jobs(options.size, options.memory) if _wanted(job, options, names)]
        kept, began = _kept(options.out, {job["name"] for job in todo} if options.only else set(names))
        results |= kept  # with the remarks that a person wrote about what is kept
        results["machine"]["began"] = began or results["machine"]["began"]
        for index, job in enumerate(todo, start=1):
            print(f"[{index}/{len(todo)}] {job['kind']} {job['name']}: {job['contender']}", flush=True)
            begin = time.perf_counter()
            result = run_job(job, options, Path(folder))
            if job["kind"] in HOMES:
                results[HOMES[job["kind"]]].append(result | {"workload": job["name"], "contender": job["contender"]})
            results["machine"]["load_at_end"] = load()
            results["machine"]["ended"] = time.strftime("%Y-%m-%d %H:%M %Z")
            write(results, options.out)
            print(f"    {_outcome(result)}   {time.perf_counter() - begin:.0f} s", flush=True)
    return 0


def jobs(size: str, memory: bool) -> Iterator[dict[str, Any]]:
    """All that is measured, as what a child process is told."""
    for workload in workloads(size).values():
        # Training and the judge's own work come first, and are kept for the others in a folder.
        yield {"kind": "truth", "name": workload.name, "contender": "the judge"}
        for other in workload.others:
            yield {"kind": "pair", "name": workload.name, "contender": other.name}
        if memory:
            for contender in (workload.ours, *workload.others):
                yield {"kind": "memory", "name": workload.name, "contender": contender.name}
    for scaling in SCALINGS.values():
        for name in scaling.contenders:
            yield {"kind": "scaling", "name": scaling.name, "contender": name}


def run_job(job: dict[str, Any], options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Do a job in a process of its own; a process that dies or takes too long is a failure of the contender."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    settings = {
        "size": options.size,
        "repeats": options.repeats,
        "threads": options.threads,
        "sample_seconds": SAMPLE_SECONDS,
        "cache": str(folder),
        "result": str(result),
    }
    with tempfile.TemporaryDirectory(dir=folder) as compiled:
        # An empty folder for compiled kernels: each process pays for its own, once, in the column "first".
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": compiled}
        command = [sys.executable, "-m", "benchmarks.child", json.dumps(job | settings)]
        try:
            run = subprocess.run(
                command,
                cwd=HERE.parent,
                env=environment,
                timeout=options.timeout,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"failure": f"not done within {options.timeout:g} s"}
    if run.returncode == 0 and result.exists():
        found: dict[str, Any] = json.loads(result.read_text())
        return found
    last = (run.stderr.strip().splitlines() or ["no message"])[-1]
    return {"failure": f"the process ended with {run.returncode}: {last[:120]}"}


def write(results: dict[str, Any], out: Path) -> None:
    """RESULTS.md and RESULTS.json."""
    write_whole(out.with_suffix(".json"), json.dumps(results, indent=1))
    write_whole(out, render(results))


def _wanted(job: dict[str, Any], options: argparse.Namespace, names: Sequence[str]) -> bool:
    """A pattern that is a name means that workload alone; any other means all that begin like it."""
    name, contender = job["name"], job["contender"]
    named = options.only is None or any(name == p if p in names else name.startswith(p) for p in options.only)
    met = options.against is None or any(contender.startswith(p) for p in options.against)
    return named and (met or job["kind"] != "pair")


def _kept(out: Path, measured: set[str]) -> tuple[dict[str, list[Any]], str]:
    """What the file already holds about other workloads than those to be measured now, and since when."""
    path = out.with_suffix(".json")
    old = json.loads(path.read_text()) if path.exists() else {}
    kept = {home: [r for r in old.get(home, []) if r["workload"] not in measured] for home in HOMES.values()}
    if not any(kept.values()):
        return kept, ""
    return kept | {"remarks": old.get("remarks", [])}, old["machine"]["began"]


def _outcome(result: dict[str, Any]) -> str:
    outcome: str = result.get("failure") or (result.get("other") or {}).get("failure") or "done"
    return outcome


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="workloads of this name, or whose names begin so")
    parser.add_argument("--against", nargs="+", metavar="NAME", help="only these contenders, or that begin so")
    parser.add_argument("--size", choices=SIZES, default="full")
    parser.add_argument("--repeats", type=int, default=5, help="timed rounds of each pair (default 5)")
    parser.add_argument("--threads", type=int, default=0, help="of torch; left out, its own default")
    parser.add_argument("--timeout", type=float, default=3600, help="seconds a process may take (default 3600)")
    parser.add_argument("--no-memory", dest="memory", action="store_false", help="leave out the peak memories")
    parser.add_argument("--out", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error(f"--repeats {options.repeats} must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
