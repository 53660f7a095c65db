"""What is in a results file, in words: for ``landscape inspect``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from landscape.rounding import format_value
from landscape.store import files
from landscape.store.loading import load_results
from landscape.store.selection import set_aside
from landscape.store.view import Results, RunResults

Section = tuple[str, list[tuple[str, str]]]


def describe_results(path: str | Path) -> list[Section]:
    """Sections of ``(title, [(label, text), …])``: the file, each run, each pair.

    Raises
    ------
    ResultsError
        As :func:`load_results`.
    """
    results = load_results(path, vectors=False)
    pairs = [(f"{p.run_a} – {p.run_b}", f"barrier ≥ {format_value(p.record.barrier)}") for p in results.pairs]
    sections = [("results", _about_file(results)), *((f"run {r.name}", _about_run(r)) for r in results.runs)]
    return [*sections, ("lines between minima", pairs)] if pairs else sections


def _about_file(results: Results) -> list[tuple[str, str]]:
    info = results.info
    lines = [("file", str(results.path))]
    if results.path.exists():
        size = results.path.stat().st_size
        lines.append(("format", f"{files.FORMAT}, version {files.FORMAT_VERSION}, {size / 1e6:.2f} MB"))
    waiting = len(files.journal_parts(results.path))
    if waiting:
        lines.append(("journal", f"{waiting} entries not merged yet; the next landscape analyze merges them"))
    aside = {run: steps for run, steps in set_aside(info).items() if steps}
    if aside:
        kept = f"{sum(map(len, aside.values()))} checkpoints of {', '.join(sorted(aside))}"
        lines.append(("also kept", f"{kept}: gone, or outside the last plan, and so not shown"))
    for label in ("created", "plan_name", "command", "platform", "threads"):
        if info.get(label) is not None:
            lines.append((label.replace("_name", ""), str(info[label])))
    if info.get("versions"):
        lines.append(("versions", _listed(info["versions"])))
    if info.get("seconds") is not None:
        lines.append(("seconds", format_value(float(info["seconds"]))))
    lines += [("skipped", f"{s.get('file')}: {s.get('reason')}") for s in info.get("skipped") or ()]
    return lines


def _about_run(run: RunResults) -> list[tuple[str, str]]:
    shown = ("problem", "optimizer", "seed", "lr", "num_parameters", "num_examples", "loss", "mode", "dtype")
    lines = [(label.replace("_", " "), str(run.info[label])) for label in shown if run.info.get(label) is not None]
    for checkpoint in run.checkpoints:
        failed = checkpoint.not_converged
        mark = f"   NOT CONVERGED: {', '.join(failed)}" if failed else ""
        lines.append((f"step {checkpoint.step}", f"{', '.join(checkpoint.records) or 'metrics only'}{mark}"))
    return lines


def _listed(items: dict[str, Any] | Iterable[Any]) -> str:
    if isinstance(items, dict):
        return ", ".join(f"{name} {value}" for name, value in items.items())
    return ", ".join(map(str, items))
