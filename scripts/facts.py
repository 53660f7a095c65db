#!/usr/bin/env python
"""Put all published facts of ``scripts/reproduce`` to the test, and write the table of what held.

    python scripts/facts.py                # all that are not there yet, as many side by side as there are cores
    python scripts/facts.py --docs         # and write docs/facts.md with its figures
    python scripts/facts.py --docs --only catapult flat_directions

What was found last of each is kept in docs/facts.json, of which the page is made. Each is a script of its own, which
says more: ``python scripts/reproduce/catapult.py``.
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


def scripts(names: list[str] | None = None) -> list[Path]:
    """One fact each, in alphabetical order: all of them, or those of these names."""
    every = {path.stem: path for path in sorted(FACTS.glob("*.py"))}
    if unknown := sorted({*(names or ())} - {*every}):
        raise SystemExit(f"no fact is called {', '.join(unknown)}; there are {', '.join(every)}")
    return [path for name, path in every.items() if not names or name in names]


def kept(folder: Path = DOCS) -> dict[str, dict[str, Any]]:
    """What was found last, by name."""
    file = folder / "facts.json"
    findings = json.loads(file.read_text()) if file.exists() else []
    return {finding["name"]: finding for finding in findings}


def write_docs(findings: list[dict[str, Any]], out: Path, folder: Path = DOCS) -> None:
    """Put new findings in the place of older ones; the page and the new figures."""
    for finding in findings:
        figure = f"{finding['name']}.png"
        write_whole(folder / "figures" / "facts" / figure, (out / figure).read_bytes())
    known = kept(folder) | {finding["name"]: finding for finding in findings}
    every = [known[name] for name in sorted(known)]
    write_whole(folder / "facts.json", json.dumps(every, indent=1, ensure_ascii=False) + "\n")
    write_whole(folder / "facts.md", table(every))


def finding_of(script: Path, out: Path) -> dict[str, Any]:
    """What a script found, by running it where it has not been run to the end."""
    file = out / f"{script.stem}.json"
    before = json.loads(file.read_text()) if file.exists() else {"quick": True}
    if before["quick"] or "changes" not in before:
        command = [sys.executable, str(script), "--threads", "1", "--out", str(out)]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{script.name} failed:\n{done.stderr.strip()}")
    finding: dict[str, Any] = json.loads(file.read_text())
    return finding


def count_line(findings: list[dict[str, Any]]) -> str:
    """How many hold, and how many of these after a change that could have made them hold.

    >>> def finding(holds, *before): return {"holds": holds, "changes": [{"held_before": one} for one in before]}
    >>> count_line([finding(True), finding(True, False), finding(True, True), finding(False, False)])
    '3 of 4 hold, 1 of them after a changed set-up, claim or criterion, 1 more after one without which they held, too'
    """
    held = [finding["changes"] for finding in findings if finding["holds"]]
    made = sum(any(not change["held_before"] for change in changes) for changes in held)
    more = sum(bool(changes) and all(change["held_before"] for change in changes) for changes in held)
    said = f"{len(held)} of {len(findings)} hold, {made} of them after a changed set-up, claim or criterion"
    return said + (f", {more} more after one without which they held, too" if more else "")


def table(findings: list[dict[str, Any]]) -> str:
    """The page: claim, source, what was measured, whether it holds, its figure."""
    newest = max((finding["versions"] for finding in findings), key=lambda one: sorted(one.items()))
    versions = ", ".join(f"{name} {version}" for name, version in newest.items())
    lines = [
        "# Published facts, put to the test",
        "",
        f"{len(findings)} claims of the literature on a scale of minutes, each by its script in `scripts/reproduce/`; "
        f"{count_line(findings)}. A criterion is set before its results are seen; what was changed afterwards stands "
        "beside the measurement, with the reason. What does not hold at this scale may hold at another. "
        f"`python scripts/facts.py --docs` writes this page. {versions}.",
        "",
        "| claim | source | measured | holds | |",
        "|---|---|---|---|---|",
    ]
    for finding in findings:
        name, cells = finding["name"], [finding[key] for key in ("claim", "source", "measured")]
        notes = [*(change["said"] for change in finding["changes"]), finding["caveat"]]
        cells[2] += "".join(f" *{note}*" for note in notes if note)
        cells = [cell.replace("|", "\\|") for cell in cells]
        verdict = ("yes" if finding["holds"] else "**no**") + (", changed" if finding["changes"] else "")
        link = f"[figure](figures/facts/{name}.png), {finding['seconds']:.0f} s"
        lines.append(f"| {' | '.join(cells)} | {verdict} | {link} |")
    return "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Run what is missing; the exit status is 0 whether claims hold or not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "checkpoints" / "reproduce")
    parser.add_argument("--docs", action="store_true", help="write docs/facts.md and docs/figures/facts")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these alone; of the others what was found stays")
    args = parser.parse_args(argv)
    asked, found = scripts(args.only), dict[str, dict[str, Any]]()
    with ThreadPoolExecutor(args.workers) as pool:
        jobs = {pool.submit(finding_of, script, args.out): script for script in asked}
        for job in as_completed(jobs):
            finding = found[jobs[job].stem] = job.result()
            print(f"{'holds' if finding['holds'] else 'does not hold':<14} {finding['claim']}", flush=True)
    findings = [found[script.stem] for script in asked]
    if args.docs:
        write_docs(findings, args.out)
    print(f"{count_line(findings)}; figures in {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
