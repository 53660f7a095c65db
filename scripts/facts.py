#!/usr/bin/env python
"""Put all published facts of ``scripts/reproduce`` to the test, and write the table of what held.

    python scripts/facts.py                # all that are not there yet, as many side by side as there are cores
    python scripts/facts.py --docs         # and write docs/facts.md with its figures

Each is a script of its own, which says more: ``python scripts/reproduce/catapult.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from landscape.store.outputs import write_whole

ROOT = Path(__file__).resolve().parents[1]
FACTS = ROOT / "scripts" / "reproduce"
DOCS = ROOT / "docs"


def scripts() -> list[Path]:
    """One fact each, in alphabetical order."""
    return sorted(FACTS.glob("*.py"))


def finding_of(script: Path, out: Path) -> dict[str, Any]:
    """What a script found, by running it where it has not been run to the end."""
    kept = out / f"{script.stem}.json"
    if not kept.exists() or json.loads(kept.read_text())["quick"]:
        command = [sys.executable, str(script), "--threads", "1", "--out", str(out)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{script.name} failed:\n{done.stderr.strip()}")
    finding: dict[str, Any] = json.loads(kept.read_text())
    return finding


def table(findings: list[dict[str, Any]]) -> str:
    """The page: claim, source, what was measured, whether it holds, its figure."""
    held = sum(finding["holds"] for finding in findings)
    versions = ", ".join(f"{name} {version}" for name, version in findings[0]["versions"].items())
    lines = [
        "# Published facts, put to the test",
        "",
        f"{len(findings)} claims of the literature on a scale of minutes, each by its script in `scripts/reproduce/`; "
        f"{held} hold here. What does not hold at this scale may hold at another. `python scripts/facts.py --docs` "
        f"writes this page. {versions}.",
        "",
        "| claim | source | measured | holds | |",
        "|---|---|---|---|---|",
    ]
    for finding in findings:
        name, cells = finding["name"], [finding[key].replace("|", "\\|") for key in ("claim", "source", "measured")]
        cells[2] += f" *{finding['caveat']}*" if finding.get("caveat") else ""
        verdict = "yes" if finding["holds"] else "**no**"
        link = f"[figure](figures/facts/{name}.png), {finding['seconds']:.0f} s"
        lines.append(f"| {' | '.join(cells)} | {verdict} | {link} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run what is missing; the exit status is 0 whether claims hold or not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "reproduce")
    parser.add_argument("--docs", action="store_true", help="write docs/facts.md and docs/figures/facts")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args(argv)
    found: dict[str, dict[str, Any]] = {}
    with ThreadPoolExecutor(args.workers) as pool:
        jobs = {pool.submit(finding_of, script, args.out): script for script in scripts()}
        for job in as_completed(jobs):
            finding = found[jobs[job].stem] = job.result()
            print(f"{'holds' if finding['holds'] else 'does not hold':<14} {finding['claim']}", flush=True)
    findings = [found[script.stem] for script in scripts()]
    if args.docs:
        for finding in findings:
            figure = f"{finding['name']}.png"
            write_whole(DOCS / "figures" / "facts" / figure, (args.out / figure).read_bytes())
        write_whole(DOCS / "facts.md", table(findings))
    print(f"{sum(f['holds'] for f in findings)} of {len(findings)} hold; figures in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
